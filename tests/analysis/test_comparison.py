"""The statistics against naive versions, published values, and simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import comparison


def table(draw: np.random.Generator, arms: dict[str, float], photographs: int = 20, seeds: int = 3, tiles: int = 1) -> pd.DataFrame:
    base = draw.normal(size=(photographs, tiles))
    rows = [
        {
            "arm": arm,
            "baseline": False,
            "seed": seed,
            "image": f"{p}#{t}",
            "photograph": str(p),
            "m": base[p, t] + shift + draw.normal(scale=0.3),
        }
        for arm, shift in arms.items()
        for seed in range(seeds)
        for p in range(photographs)
        for t in range(tiles)
    ]
    return pd.DataFrame(rows)


def test_bootstrap_equals_a_naive_one() -> None:
    draw = np.random.default_rng(0)
    values, weights = draw.normal(size=(3, 12)), draw.integers(1, 4, size=(3, 12)).astype(float)
    found = comparison.bootstrap_means(values, weights, 4000, seed=1)
    naive = []
    for _ in range(4000):
        picks = draw.integers(0, 12, 12)
        naive.append((values[:, picks] * weights[:, picks]).sum() / weights[:, picks].sum())
    assert found.mean() == pytest.approx(np.mean(naive), abs=0.02)
    assert found.std() == pytest.approx(np.std(naive), rel=0.06)


def test_sign_flip_equals_enumeration_and_scipy() -> None:
    x = np.random.default_rng(3).normal(0.4, 1, size=9)
    extreme = [abs(np.dot(signs, x)) >= abs(x.sum()) - 1e-12 for signs in itertools.product([-1, 1], repeat=9)]
    assert comparison.sign_flip(x) == pytest.approx(np.mean(extreme))
    many = np.random.default_rng(4).normal(0.3, 1, size=60)
    assert comparison.sign_flip(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.01)


def test_holm() -> None:
    draw = np.random.default_rng(0).uniform(size=30) ** 3
    assert comparison.holm(draw.tolist()) == pytest.approx(multipletests(draw, method="holm")[1].tolist())
    assert comparison.holm([]) == []
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_clear_difference_is_found_with_its_sign() -> None:
    found = comparison.difference(table(np.random.default_rng(0), {"a": 1.0, "b": 0.0}), "m", "a", "b", resamples=2000)
    assert found.low < 1.0 < found.high and found.low > 0.8
    assert found.p < 0.001 and found.seeds_agreeing == found.seeds == 3 and found.photographs == 20
    assert 0 < found.detectable < 0.5


def test_pairing_removes_what_photographs_share() -> None:
    """Photographs differ by 1, arms by 0.2: unpaired this is invisible, paired it is plain."""
    data = table(np.random.default_rng(1), {"a": 0.2, "b": 0.0}, photographs=60)
    assert comparison.difference(data, "m", "a", "b", resamples=2000).p < 0.01
    a, b = (data.loc[data["arm"] == arm, "m"] for arm in "ab")
    assert stats.ttest_ind(a, b).pvalue > 0.05


def test_tiles_of_one_photograph_are_no_independent_images() -> None:
    draw = np.random.default_rng(2)
    tiled = table(draw, {"a": 0.0, "b": 0.0}, photographs=5, seeds=1, tiles=40)
    effect = dict(zip(map(str, range(5)), draw.normal(scale=1.0, size=5), strict=True))  # each photograph likes one arm
    tiled.loc[tiled["arm"] == "a", "m"] += tiled.loc[tiled["arm"] == "a", "photograph"].map(effect)
    found = comparison.difference(tiled, "m", "a", "b", resamples=2000)
    assert found.high - found.low > 0.8  # 200 images as independent would give about 0.3
    assert found.p >= 2 / 2**5


def test_a_baseline_without_seeds_is_paired_with_every_seed() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    data = data[(data["arm"] == "a") | (data["seed"] == 0)]
    data["baseline"] = data["arm"] == "b"
    for first, second, sign in (("a", "b", 1), ("b", "a", -1)):
        found = comparison.difference(data, "m", first, second, resamples=500)
        assert found.seeds == 3 and np.sign(found.estimate) == sign


def test_an_unfinished_arm_is_no_baseline() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    one_seed = data[(data["arm"] == "a") | (data["seed"] == 0)]
    assert comparison.difference(one_seed, "m", "a", "b", resamples=500).seeds == 1
    none = data[((data["arm"] == "a") & (data["seed"] == 1)) | ((data["arm"] == "b") & (data["seed"] == 0))]
    nothing = comparison.difference(none, "m", "a", "b", resamples=500)
    assert np.isnan(nothing.estimate) and nothing.p == 1 and nothing.seeds == 0


def test_intervals_cover_the_true_difference_when_seeds_share_photographs() -> None:
    """An effect of the photograph that all seeds share: resampling seeds apart would make the interval √3 too narrow."""
    draw = np.random.default_rng(21)
    covered = []
    for _ in range(200):
        data = table(draw, {"a": 0.0, "b": 0.0}, photographs=25)
        likes = dict(enumerate(draw.normal(scale=0.8, size=25)))
        data.loc[data["arm"] == "a", "m"] += data.loc[data["arm"] == "a", "photograph"].astype(int).map(likes)
        found = comparison.difference(data, "m", "a", "b", resamples=400)
        covered.append(found.low <= 0.0 <= found.high)
    assert np.mean(covered) >= 0.89


def test_too_few_photographs_can_see_nothing() -> None:
    found = comparison.difference(
        table(np.random.default_rng(0), {"a": 9.0, "b": 0.0}, photographs=5), "m", "a", "b", resamples=500
    )
    assert found.detectable == np.inf and found.p == 2 / 2**5
    one = comparison.difference(table(np.random.default_rng(0), {"a": 9.0, "b": 0.0}, photographs=1), "m", "a", "b", resamples=500)
    assert np.isnan(one.low) and one.estimate > 5


def test_one_arm_has_no_pairs() -> None:
    assert list(comparison.differences(table(np.random.default_rng(0), {"a": 1.0}), "m").columns)[:3] == [
        "metric",
        "first",
        "second",
    ]


def test_infinite_values_are_left_out() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    data.loc[(data["arm"] == "a") & (data["photograph"] == "3"), "m"] = np.inf
    assert comparison.difference(data, "m", "a", "b", resamples=500).photographs == 19


def test_false_positives_stay_at_five_per_cent() -> None:
    """Null studies with tiles and seeds: the test must not call more than its share."""
    draw = np.random.default_rng(11)
    p = []
    for _ in range(300):
        data = table(draw, {"a": 0.0, "b": 0.0}, photographs=12, seeds=2)
        likes = draw.normal(scale=0.5, size=12)
        data.loc[data["arm"] == "a", "m"] += data.loc[data["arm"] == "a", "photograph"].astype(int).map(dict(enumerate(likes)))
        p.append(comparison.difference(data, "m", "a", "b", resamples=200).p)
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.08


def test_differences_of_all_pairs_and_the_best() -> None:
    data = table(np.random.default_rng(5), {"a": 1.0, "b": 0.0, "c": 0.02})
    pairs = comparison.differences(data, "m", resamples=500)
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (pairs["p_holm"] >= pairs["p"]).all()
    means = {arm: data.loc[data["arm"] == arm, "m"].mean() for arm in "abc"}
    assert comparison.clearly_best(pairs, means, direction=1) == "a"
    assert comparison.clearly_best(pairs, means, direction=-1) is None  # b and c cannot be told apart
    assert comparison.clearly_best(pairs, means, direction=0) is None

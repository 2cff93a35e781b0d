"""Arms of a table: matrices, pairs, corrections, and who is the best."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.statistics import differences
from analysis.statistics.crossed import two_methods
from analysis.statistics.scores import Scores, scores


def table(
    draw: np.random.Generator,
    arms: dict[str, float],
    photographs: int = 20,
    seeds: int = 3,
    tiles: int = 1,
    deviation: float = 0.0,
) -> pd.DataFrame:
    base = draw.normal(size=(photographs, tiles))
    lucky = {(arm, seed): draw.normal(scale=deviation) for arm in arms for seed in range(seeds)}
    rows = [
        {
            "arm": arm,
            "fixed": False,
            "seed": seed,
            "image": f"{p}#{t}",
            "photograph": str(p),
            "m": base[p, t] + shift + lucky[arm, seed] + draw.normal(scale=0.3),
        }
        for arm, shift in arms.items()
        for seed in range(seeds)
        for p in range(photographs)
        for t in range(tiles)
    ]
    return pd.DataFrame(rows)


def test_a_difference_is_that_of_the_crossed_model_on_means_over_images() -> None:
    data = table(np.random.default_rng(0), {"a": 0.5, "b": 0.0}, tiles=3, deviation=0.2)
    matrices = [
        data[data["arm"] == arm]
        .pivot_table(index="seed", columns="photograph", values="m")
        .to_numpy()
        for arm in "ab"
    ]
    expected, difference = (
        two_methods(*matrices),
        differences.difference(data, "m", "a", "b", resamples=500),
    )
    assert (difference.estimate, difference.low, difference.p) == pytest.approx(
        (expected.value, expected.interval()[0], expected.p())
    )
    assert (
        difference.seeds_first,
        difference.seeds_second,
        difference.photographs,
        difference.left_out,
    ) == (3, 3, 20, 0)


def test_a_clear_difference_is_found_with_its_sign() -> None:
    difference = differences.difference(
        table(np.random.default_rng(0), {"a": 1.0, "b": 0.0}), "m", "a", "b", resamples=2000
    )
    assert (
        0.5 < difference.low < 1.0 < difference.high
        and difference.p < 0.01
        and 0 < difference.detectable < 0.8
    )
    assert 0.8 < difference.runs_low < 1.0 < difference.runs_high and difference.runs_p < 0.001


def test_lucky_seeds_fool_these_runs_and_not_the_methods() -> None:
    """The same method twice: what three seeds differ by is no verdict about it."""
    draw = np.random.default_rng(0)
    simulated = [
        differences.difference(table(draw, {"a": 0, "b": 0}, 60, deviation=0.5), "m", "a", "b", 200)
        for _ in range(60)
    ]
    assert np.mean([one.runs_p < 0.05 for one in simulated]) > 0.5
    assert np.mean([one.p < 0.05 for one in simulated]) <= 0.12


def test_pairing_removes_what_photographs_share() -> None:
    """Photographs differ by 1, arms by 0.2: unpaired this is invisible, paired it is plain."""
    data = table(np.random.default_rng(8), {"a": 0.15, "b": 0.0}, photographs=60)
    assert differences.difference(data, "m", "a", "b", resamples=2000).runs_p < 0.01
    a, b = (data.loc[data["arm"] == arm, "m"] for arm in "ab")
    assert stats.ttest_ind(a, b).pvalue > 0.05


def test_tiles_of_one_photograph_are_no_independent_images() -> None:
    draw = np.random.default_rng(2)
    tiled = table(draw, {"a": 0.0, "b": 0.0}, photographs=5, seeds=2, tiles=40)
    # each photograph likes one arm
    effect = dict(zip(map(str, range(5)), draw.normal(scale=1.0, size=5), strict=True))
    tiled.loc[tiled["arm"] == "a", "m"] += tiled.loc[tiled["arm"] == "a", "photograph"].map(effect)
    difference = differences.difference(tiled, "m", "a", "b", resamples=2000)
    # 200 independent images would give about 0.3
    assert (
        difference.high - difference.low > 0.8 and difference.runs_high - difference.runs_low > 0.8
    )


def test_a_baseline_has_no_seeds_and_one_seed_is_no_method() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    data = data[(data["arm"] == "a") | (data["seed"] == 0)]
    lone = differences.difference(data, "m", "a", "b", resamples=500)
    assert (
        lone.p == 1 and np.isnan(lone.low) and lone.detectable == np.inf and lone.seeds_second == 1
    )
    assert lone.runs_p < 0.01 and lone.estimate == pytest.approx(1.0, abs=0.3)
    data = data.assign(fixed=data["arm"] == "b")
    for first, second, sign in (("a", "b", 1), ("b", "a", -1)):
        difference = differences.difference(data, "m", first, second, resamples=500)
        assert (
            np.sign(difference.estimate) == sign
            and difference.p < 0.05
            and {difference.seeds_first, difference.seeds_second} == {3, 0}
        )


def test_unequal_seeds_and_missing_cells_are_said() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    data = data[~((data["arm"] == "b") & (data["seed"] == 2))]
    data = data[~((data["arm"] == "a") & (data["seed"] == 1) & (data["photograph"] == "7"))]
    data.loc[(data["arm"] == "b") & (data["photograph"] == "3"), "m"] = np.inf
    difference = differences.difference(data, "m", "a", "b", resamples=500)
    assert (
        difference.seeds_first,
        difference.seeds_second,
        difference.photographs,
        difference.left_out,
    ) == (3, 2, 18, 2)


def test_no_common_photograph() -> None:
    data = table(np.random.default_rng(0), {"a": 1.0, "b": 0.0})
    data.loc[data["arm"] == "b", "photograph"] += "x"
    difference = differences.difference(data, "m", "a", "b", resamples=100)
    assert (
        np.isnan(difference.estimate)
        and difference.p == difference.runs_p == 1
        and difference.photographs == 0
    )


def test_an_arms_interval_counts_its_seeds() -> None:
    data = table(np.random.default_rng(0), {"a": 0.0}, photographs=200, deviation=0.5)
    wide = differences.interval(scores(data, "m"), "a")
    narrow = differences.interval(scores(data[data["seed"] == 0].assign(fixed=True), "m"), "a")
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert np.isnan(differences.interval(scores(data[data["seed"] == 0], "m"), "a").low)


def test_holm() -> None:
    draw = np.random.default_rng(0).uniform(size=30) ** 3
    assert differences.holm(draw.tolist()) == pytest.approx(
        multipletests(draw, method="holm")[1].tolist()
    )
    assert differences.holm([]) == []
    assert differences.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_differences_of_all_pairs_and_the_best() -> None:
    data = table(np.random.default_rng(5), {"a": 1.0, "b": 0.0, "c": 0.02}, seeds=4)
    pairs = differences.differences(data, "m", resamples=500)
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert (pairs["p_holm"] >= pairs["p"]).all() and (pairs["runs_p_holm"] >= pairs["runs_p"]).all()
    means = {arm: data.loc[data["arm"] == arm, "m"].mean() for arm in "abc"}
    assert differences.clearly_best(pairs, means, direction=1) == "a"
    # b and c cannot be told apart
    assert differences.clearly_best(pairs, means, direction=-1) is None
    assert differences.clearly_best(pairs, means, direction=0) is None
    winner_last = pd.concat([data[data["arm"] != "a"], data[data["arm"] == "a"]])
    last = differences.differences(winner_last, "m", resamples=500)
    assert "a" not in set(last["first"])  # it stands second in all its pairs
    assert (
        differences.clearly_best(last, means, direction=1) == "a"
        and differences.clearly_best(last, means, -1) is None
    )
    without = {arm: mean for arm, mean in means.items() if arm != "a"}
    # the better one is a baseline, and nobody beats it
    assert differences.clearly_best(pairs, without, direction=1) is None


def test_one_arm_has_no_pairs() -> None:
    columns = list(
        differences.differences(table(np.random.default_rng(0), {"a": 1.0}), "m").columns
    )
    assert columns[:3] == ["metric", "first", "second"] and {"p_holm", "low", "high"} <= set(
        columns
    )


def test_an_arm_and_its_view_are_paired_where_their_seeds_are() -> None:
    draw = np.random.default_rng(0)
    with_labels, without = draw.normal(size=(4, 20)), draw.normal(size=(4, 20))
    every = np.ones(20, bool)
    values = {"a": with_labels, "a without": without, "b": draw.normal(size=(4, 20))}
    scored = Scores(
        "m", values, dict.fromkeys(values, every), dict.fromkeys(values, False), {"a without": "a"}
    )
    assert scored.are_paired("a", "a without") and scored.are_paired("a without", "a")
    assert not scored.are_paired("a", "b")
    short = replace(scored, values={**values, "a without": without[:3]})
    assert not short.are_paired("a", "a without")

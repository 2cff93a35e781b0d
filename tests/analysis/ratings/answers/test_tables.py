"""Tables of answers against simulation: intervals that count raters, photographs and seeds hold their level."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.ratings.answers import tables
from analysis.ratings.design import RANDOM, TRUTH
from common.errors import ColourbenchError

COLUMNS = ["rater", "kind", "image", "arm", "side", "response"]
Simulate = Callable[..., pd.DataFrame]


def test_fooling_rate_is_the_share_taken_for_real(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 20, 40, 20)
    by_arm = tables.by_arm(answers, "pair").set_index("arm").T.to_dict()
    for arm, of_arm in answers.groupby("arm"):
        assert by_arm[arm]["fooling_rate"] == pytest.approx((of_arm["response"] == "right").mean())
        assert by_arm[arm]["low"] < by_arm[arm]["fooling_rate"] < by_arm[arm]["high"]


def test_one_rater_falls_back_to_wilson() -> None:
    answers = pd.DataFrame(
        [("r", "test", f"i{k}", "a", "left", "right" if k < 42 else "left") for k in range(100)],
        columns=COLUMNS,
    )
    [row] = tables.by_arm(answers, "pair").to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((0.3280, 0.5179), abs=1e-4)
    assert "too few raters" in row["interval"] and tables.pairs(answers, "pair").empty


def test_intervals_cover_what_other_raters_and_photographs_would_say(simulate: Simulate) -> None:
    """Even with one arm: the interval must hold the population's rate about 95 times in 100."""
    draw = np.random.default_rng(9)
    population = (simulate(draw, 4000, 4000, 30)["response"] == "right").mean()
    covered = []
    for _ in range(150):
        answers = simulate(draw, 14, 30, 30).assign(arm="only")
        [row] = tables.by_arm(answers, "pair").to_dict("records")
        assert row["low"] < row["fooling_rate"] < row["high"]
        covered.append(row["low"] <= population <= row["high"])
    assert np.mean(covered) >= 0.88


def test_arms_confounded_with_photographs_get_no_p(simulate: Simulate) -> None:
    """If only every second rater returns a sheet, each photograph was seen in one arm alone."""
    answers = simulate(np.random.default_rng(0), 6, 20, 20)
    every_second = answers[answers["rater"].isin(["r0", "r2", "r4"])]
    assert tables.pairs(every_second, "pair").empty and len(tables.pairs(answers, "pair")) == 1


def test_answers_that_all_agree_are_no_certainty() -> None:
    """An arm that fooled nobody in 100 trials may fool 3.7 % (Wilson)."""
    rows = [(f"r{k % 10}", "test", f"i{k // 10}", "a", "left", "left") for k in range(100)]
    [row] = tables.by_arm(pd.DataFrame(rows, columns=COLUMNS), "pair").to_dict("records")
    assert (row["fooling_rate"], row["low"]) == (0, 0) and row["high"] == pytest.approx(0.037, abs=5e-4)


def test_only_control_trials() -> None:
    answers = pd.DataFrame([("r", "vigilance", "i", RANDOM, "left", "left")], columns=COLUMNS)
    with pytest.raises(ColourbenchError, match="no test trial"):
        tables.by_arm(answers, "pair")


def test_a_real_difference_is_found(simulate: Simulate) -> None:
    [row] = tables.pairs(simulate(np.random.default_rng(1), 40, 100, 40, effect=1.2), "pair").to_dict("records")
    assert row["p_holm"] < 0.01 and row["difference"] < 0


def test_false_positives_stay_near_five_per_cent(simulate: Simulate) -> None:
    """Errors that count raters and images hold their level where errors over trials alone do not."""
    draw = np.random.default_rng(5)
    p = [tables.pairs(simulate(draw, 16, 24, 16), "pair")["p"].iloc[0] for _ in range(250)]
    assert 0.015 <= np.mean(np.array(p) < 0.05) <= 0.085


def test_seeds_count_in_a_verdict_about_methods(simulate: Simulate) -> None:
    """Four arms of one method with three seeds each: without the seeds, luck in them passes for a better method."""
    draw = np.random.default_rng(5)
    called: dict[str, list[bool]] = {"with seeds": [], "without": []}
    for _ in range(60):
        answers = simulate(draw, 24, 64, 40, arms=4, seeds=3)
        for name, table in (("with seeds", answers), ("without", answers.drop(columns="seed"))):
            called[name] += (tables.pairs(table, "pair")["p"] < 0.05).tolist()
    assert np.mean(called["with seeds"]) <= 0.07 and np.mean(called["without"]) >= 0.1


def test_what_an_interval_counts_is_said(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 12, 24, 20, arms=3, seeds=2)
    answers.loc[answers["arm"] == "arm2", "seed"] = 0
    methods = tables.by_arm(answers, "pair", fixed=("arm2",)).set_index("arm")["interval"]
    assert methods["arm0"].endswith("by photograph and by seed") and methods["arm2"].endswith("by photograph")
    lone = tables.pairs(answers, "pair").set_index(["first", "second"])["interval"]
    assert "one seed says nothing" in lone["arm0", "arm2"] and "one seed" not in lone["arm0", "arm1"]


def test_opinions() -> None:
    draw = np.random.default_rng(2)
    rows = [
        (f"r{r}", "test", f"i{i}", arm, "", str(int(np.clip(round(draw.normal(centre, 0.8)), 1, 5))))
        for r in range(8)
        for i in range(12)
        for arm, centre in ((("cgan", 2.5), (TRUTH, 4.5)))[(i + r) % 2 :][:1]
    ]
    answers = pd.DataFrame(rows, columns=COLUMNS)
    by_arm = tables.by_arm(answers, "opinion")
    assert by_arm["arm"].tolist() == ["cgan", TRUTH]
    assert by_arm["mos"].tolist() == pytest.approx([2.5, 4.4], abs=0.4)
    assert tables.pairs(answers, "opinion")["p_holm"].iloc[0] < 0.001


def test_vigilance() -> None:
    rows = [
        ("r1", "test", "i1", "a", "left", "right"), ("r1", "repeat", "i1", "a", "right", "left"),
        ("r1", "vigilance", "i2", RANDOM, "left", "left"), ("r2", "vigilance", "i3", RANDOM, "left", "right"),
    ]  # fmt: skip
    raters = tables.raters(pd.DataFrame(rows, columns=COLUMNS), "pair")
    assert raters["vigilance_right"].tolist() == [1.0, 0.0]
    assert raters["repeats_alike"].tolist()[0] == 1.0

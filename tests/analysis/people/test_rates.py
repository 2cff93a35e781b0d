"""Tables of answers against simulation: intervals that count raters, photographs and seeds hold their level."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.people import rates
from analysis.people.design import PROTOCOLS, RANDOM, TESTS, TRUTH, Design, TestName
from analysis.people.schedule import Schedule
from common.errors import ColourbenchError
from studies.people import results

COLUMNS = ["rater", "kind", "image", "arm", "side", "response"]
Simulate = Callable[..., pd.DataFrame]


def test_fooling_rate_is_the_share_taken_for_real(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 20, 40, 20)
    by_arm = rates.by_arm(answers, "pair").set_index("arm").T.to_dict()
    for arm, of_arm in answers.groupby("arm"):
        assert by_arm[arm]["fooling_rate"] == pytest.approx((of_arm["response"] == "right").mean())
        assert by_arm[arm]["low"] < by_arm[arm]["fooling_rate"] < by_arm[arm]["high"]


def test_one_rater_falls_back_to_wilson() -> None:
    answers = pd.DataFrame(
        [("r", "test", f"i{k}", "a", "left", "right" if k < 42 else "left") for k in range(100)],
        columns=COLUMNS,
    )
    [row] = rates.by_arm(answers, "pair").to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((0.3280, 0.5179), abs=1e-4)
    assert (
        "one rater or one photograph says nothing" in row["interval"]
        and rates.pairs(answers, "pair").empty
    )


def test_intervals_cover_what_other_raters_and_photographs_would_say(simulate: Simulate) -> None:
    """Even with one arm: the interval must hold the population's rate about 95 times in 100."""
    draw = np.random.default_rng(9)
    population = (simulate(draw, 4000, 4000, 30)["response"] == "right").mean()
    covered = []
    for _ in range(150):
        answers = simulate(draw, 14, 30, 30).assign(arm="only")
        [row] = rates.by_arm(answers, "pair").to_dict("records")
        assert row["low"] < row["fooling_rate"] < row["high"]
        covered.append(row["low"] <= population <= row["high"])
    assert np.mean(covered) >= 0.88


def test_arms_confounded_with_photographs_get_no_p(simulate: Simulate) -> None:
    """If only every second rater returns a sheet, each photograph was seen in one arm alone."""
    answers = simulate(np.random.default_rng(0), 6, 20, 20)
    every_second = answers[answers["rater"].isin(["r0", "r2", "r4"])]
    assert rates.pairs(every_second, "pair").empty and len(rates.pairs(answers, "pair")) == 1


def test_answers_that_all_agree_are_no_certainty() -> None:
    """An arm that fooled nobody in 100 trials may fool 3.7 % (Wilson)."""
    rows = [(f"r{k % 10}", "test", f"i{k // 10}", "a", "left", "left") for k in range(100)]
    [row] = rates.by_arm(pd.DataFrame(rows, columns=COLUMNS), "pair").to_dict("records")
    assert (row["fooling_rate"], row["low"]) == (0, 0) and row["high"] == pytest.approx(
        0.037, abs=5e-4
    )


def test_only_control_trials() -> None:
    answers = pd.DataFrame([("r", "vigilance", "i", RANDOM, "left", "left")], columns=COLUMNS)
    with pytest.raises(ColourbenchError, match="no test trial"):
        rates.by_arm(answers, "pair")


def test_a_real_difference_is_found(simulate: Simulate) -> None:
    [row] = rates.pairs(
        simulate(np.random.default_rng(1), 40, 100, 40, effect=1.2), "pair"
    ).to_dict("records")
    assert row["p_holm"] < 0.01 and row["difference"] < 0


def test_false_positives_stay_near_five_per_cent(simulate: Simulate) -> None:
    """Errors that count raters and images hold their level where errors over trials alone do not."""
    draw = np.random.default_rng(5)
    p = [rates.pairs(simulate(draw, 16, 24, 16), "pair")["p"].iloc[0] for _ in range(250)]
    assert 0.015 <= np.mean(np.array(p) < 0.05) <= 0.085


def test_seeds_count_in_a_verdict_about_methods(simulate: Simulate) -> None:
    """Four arms of one method with three seeds each: without the seeds, luck in them passes for a better method."""
    draw = np.random.default_rng(5)
    called: dict[str, list[bool]] = {"with seeds": [], "without": []}
    for _ in range(60):
        answers = simulate(draw, 24, 64, 40, arms=4, seeds=3)
        for name, table in (("with seeds", answers), ("without", answers.drop(columns="seed"))):
            called[name] += (rates.pairs(table, "pair")["p"] < 0.05).tolist()
    assert np.mean(called["with seeds"]) <= 0.07 and np.mean(called["without"]) >= 0.1


def test_what_an_interval_counts_is_said(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 12, 24, 20, arms=3, seeds=2)
    answers.loc[answers["arm"] == "arm2", "seed"] = 0
    methods = rates.by_arm(answers, "pair", fixed=("arm2",)).set_index("arm")["interval"]
    assert methods["arm0"].endswith("by photograph and by seed") and methods["arm2"].endswith(
        "by photograph"
    )
    lone = rates.pairs(answers, "pair").set_index(["first", "second"])["interval"]
    assert (
        "one seed says nothing" in lone["arm0", "arm2"] and "one seed" not in lone["arm0", "arm1"]
    )


def test_opinions() -> None:
    draw = np.random.default_rng(2)
    rows = [
        (
            f"r{r}",
            "test",
            f"i{i}",
            arm,
            "",
            str(int(np.clip(round(draw.normal(centre, 0.8)), 1, 5))),
        )
        for r in range(8)
        for i in range(12)
        for arm, centre in ((("cgan", 2.5), (TRUTH, 4.5)))[(i + r) % 2 :][:1]
    ]
    answers = pd.DataFrame(rows, columns=COLUMNS)
    by_arm = rates.by_arm(answers, "opinion")
    assert by_arm["arm"].tolist() == ["cgan", TRUTH]
    assert by_arm["mos"].tolist() == pytest.approx([2.5, 4.4], abs=0.4)
    assert rates.pairs(answers, "opinion")["p_holm"].iloc[0] < 0.001


def test_vigilance() -> None:
    rows = [
        ("r1", "test", "i1", "a", "left", "right"), ("r1", "repeat", "i1", "a", "right", "left"),
        ("r1", "vigilance", "i2", RANDOM, "left", "left"), ("r2", "vigilance", "i3", RANDOM, "left", "right"),
    ]  # fmt: skip
    raters = rates.raters(pd.DataFrame(rows, columns=COLUMNS), "pair")
    assert raters["vigilance_right"].tolist() == [1.0, 0.0]
    assert raters["repeats_alike"].tolist()[0] == 1.0


def test_a_repeat_is_compared_with_the_same_arm() -> None:
    """A photograph may be shown in two arms, and the answers to the other arm are no repeat."""
    rows = [
        ("r1", "test", "i1", "a", "left", "right"), ("r1", "test", "i1", "b", "left", "left"),
        ("r1", "repeat", "i1", "b", "right", "right"),
    ]  # fmt: skip
    assert rates.raters(pd.DataFrame(rows, columns=COLUMNS), "pair")["repeats_alike"].tolist() == [
        1.0
    ]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_one_arms_interval_covers_its_rate_over_new_seeds(simulate: Simulate, seeds: int) -> None:
    """Seeds spend their whole variance: what is left of it after the noise of trials would cover .85 with two seeds."""
    draw = np.random.default_rng(5)
    truth = np.mean(
        [(simulate(draw, 40, 120, 40, seeds=40)["response"] == "right").mean() for _ in range(10)]
    )
    covered = []
    for _ in range(120):
        for row in rates.by_arm(simulate(draw, 20, 40, 20, seeds=seeds), "pair").to_dict("records"):
            covered.append(row["low"] <= truth <= row["high"])
    assert np.mean(covered) >= 0.88


def test_answers_that_are_all_alike_are_no_certainty() -> None:
    """The variance of residues is a rounding error: eight raters who answer alike decide nothing beyond one answer."""
    rows = [
        (f"r{r}", "test", f"i{i}", f"arm{(r + i) % 2}", "left", "right" if (r + i) % 2 else "left")
        for r in range(8)
        for i in range(6)
    ]
    (pair,) = rates.pairs(pd.DataFrame(rows, columns=COLUMNS), "pair").to_dict("records")
    assert (
        pair["difference"] == pytest.approx(-1)
        and 1e-12 < pair["p"] < 1e-3
        and pair["high"] - pair["low"] > 0.05
    )
    same = pd.DataFrame([(*row[:5], "left") for row in rows], columns=COLUMNS)
    (pair,) = rates.pairs(same, "pair").to_dict("records")
    assert pair["p"] == pytest.approx(1.0) and pair["low"] < -0.05 < 0.05 < pair["high"]


def test_each_rule_rejects_by_itself_and_the_rest_are_kept(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 7, 20, 10).assign(reaction_ms=900.0)
    watched = [
        {"rater": rater, "kind": "vigilance", "image": f"v{n}", "arm": RANDOM, "side": "left", "response": response, "seed": 0, "reaction_ms": 900.0}
        for rater, rightly in (("r1", 6), ("r2", 7))
        for n, response in enumerate(["left"] * rightly + ["right"] * (8 - rightly))
    ]  # fmt: skip
    answers = pd.concat([answers, pd.DataFrame(watched)], ignore_index=True)
    answers.loc[answers["rater"] == "r3", "reaction_ms"] = 150.0
    answers["screen"] = np.where(answers["rater"] == "r4", "not passed", "passed")
    reasons = rates.raters(answers, "pair").set_index("rater")["rejected"].to_dict()
    assert reasons == {
        "r0": "",
        "r1": "6 of 8 vigilance trials are right, as chance might have it",
        "r2": "",  # 7 of 8: 3.5 % by chance
        "r3": "answers within 200 ms",
        "r4": "a check of colour vision or screen is not passed",
        "r5": "",
        "r6": "",
    }
    assert set(rates.kept(answers, "pair")["rater"]) == {"r0", "r2", "r5", "r6"}
    (said,) = [line for line in results.remarks(answers, "pair") if "rejected" in line]
    assert said.startswith("3 of 7 raters are rejected by the rules") and "without them" in said


@pytest.mark.parametrize(
    ("watched", "chance", "needed"),
    [(8, 1 / 2, 7), (8, 2 / 5, 6), (8, 1 / 3, 6), (5, 1 / 2, 5), (4, 1 / 2, 4), (1, 1 / 2, 1), (0, 1 / 2, 0)],
)  # fmt: skip
def test_more_must_be_right_than_chance_gives(watched: int, chance: float, needed: int) -> None:
    """By the binomial distribution: P(at least 7 of 8) is 9 / 256; where nothing is rare enough, all."""
    assert rates.rightly_needed(watched, chance) == needed


def clicked(draw: np.random.Generator, test: TestName, habit: str, count: int = 150) -> float:
    """The share of raters with a habit whom the rules keep, on blocks of 40 as the schedule deals them."""
    images = [f"i{number}" for number in range(60)]
    schedule = Schedule(Design(test, count, 40), images, {"a": [0], "b": [0]}, "secret")
    answers = PROTOCOLS[test].answers
    rows = []
    for trial in schedule.plan():
        honest = trial.right_answer if trial.right_answer in answers else draw.choice(answers)
        if test == "opinion":
            honest = str(draw.integers(1, 3) if trial.arm == RANDOM else draw.integers(2, 6))
        elif trial.kind in ("test", "repeat"):
            honest = draw.choice(answers)  # a hard question
        response = {"honest": honest, "random": draw.choice(answers)}.get(habit, habit)
        given = (trial.rater, trial.kind, trial.image, trial.arm, trial.side, response)
        rows.append((*given, trial.other))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "other"])
    return float((rates.raters(table, test)["rejected"] == "").mean())


@pytest.mark.parametrize("test", TESTS)
def test_who_answers_at_random_or_always_alike_is_caught_and_the_honest_are_kept(
    test: TestName,
) -> None:
    draw = np.random.default_rng(0)
    assert clicked(draw, test, "honest") >= 0.98
    # 3.5 % are expected of two answers, and fewer of more
    assert clicked(draw, test, "random") <= 0.09
    for answer in PROTOCOLS[test].answers:
        assert clicked(draw, test, answer, count=30) <= 0.1, answer


def test_who_scores_against_everybody_is_screened_out() -> None:
    """ITU-R BT.500-15, annex 1: a rater who turns the scale around."""
    draw = np.random.default_rng(1)
    rows = [
        (f"r{r:02d}", "test", f"i{i}", "cgan", "", str(int(np.clip(round((6 - quality) if r == 3 else quality + draw.normal(0, 0.3)), 1, 5))))
        for i, quality in enumerate(draw.uniform(1, 5, 60))
        for r in range(15)
    ]  # fmt: skip
    answers = pd.DataFrame(rows, columns=COLUMNS)
    reasons = rates.raters(answers, "opinion").set_index("rater")["rejected"]
    assert (reasons != "").sum() <= 1
    assert set(rates.kept(answers, "opinion")["rater"]) == set(reasons.index[reasons == ""])


def test_a_preference_has_the_sign_of_the_answers(simulate: Simulate) -> None:
    answers = pd.DataFrame(
        [
            ("r1", "test", "i1", "a", "b", "left", response)
            for response in ("left", "right", "equal")
        ],
        columns=["rater", "kind", "image", "arm", "other", "side", "response"],
    )
    # `side` is where `arm` was shown
    assert rates.scored(answers, "preference")["value"].tolist() == [
        1.0,
        0.0,
        0.5,
    ]


def test_who_fails_a_check_of_colour_vision_is_rejected(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 6, 20, 10)
    answers["screen"] = np.where(answers["rater"] == "r2", "not passed", "passed")
    reasons = rates.raters(answers, "pair").set_index("rater")["rejected"]
    assert (
        reasons["r2"] == "a check of colour vision or screen is not passed"
        and (reasons.drop("r2") == "").all()
    )
    assert "r2" not in set(rates.kept(answers, "pair")["rater"])


def test_timed_and_untimed_answers_are_not_pooled_without_a_word(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 6, 20, 10).assign(exposure_ms=1000)
    about = results.judge(answers, "pair")["about"]
    assert about["exposure"].item() == "1000 ms" and about["test"].item() == "pair"
    answers.loc[answers["rater"] == "r1", "exposure_ms"] = 0
    about = results.judge(answers, "pair")["about"]
    assert (
        about["exposure"].item() == "1000 ms: 50, untimed: 10"
        and "different exposures are pooled" in about["notes"].item()
    )

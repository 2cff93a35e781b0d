"""Looking after every rater: the error rate stays below 5 %, and a real difference is seen with fewer raters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.people import rates
from analysis.people.planning.stopping import (
    ALIKE,
    AT_THE_END,
    DIFFERENT,
    FEWEST_RATERS,
    GO_ON,
    NOT_SETTLED,
    Plan,
    half_width,
    is_settled,
    standings,
)

Simulate = Callable[..., pd.DataFrame]
RATERS = 36
OTHER_SIDE = {"left": "right", "right": "left"}
STUDIES = 24


@pytest.fixture
def simulate(simulate: Simulate) -> Simulate:
    """Simulated people who see the truth on the left as often as on the right: one answer throughout would be rejected."""

    def mirrored(*args: Any, **options: Any) -> pd.DataFrame:
        answers = simulate(*args, **options)
        turned = answers["image"].str.removeprefix("i").astype(int) % 2 == 1
        for column in ("side", "response"):
            answers.loc[turned, column] = answers.loc[turned, column].map(OTHER_SIDE)
        return answers

    return mirrored


def first_decision(
    answers: pd.DataFrame, difference: float = 0.1, planned: int = 0
) -> tuple[int, str]:
    """The number of raters at the first look that decides, and what it says; looks are taken after every fourth rater."""
    for raters in range(FEWEST_RATERS, RATERS + 1, 4):
        seen = answers[answers["rater"].isin([f"r{k}" for k in range(raters)])]
        for look in standings(seen, "pair", difference, Plan(planned)):
            if look.state in (DIFFERENT, ALIKE):
                return raters, look.state
    return RATERS, GO_ON


@pytest.mark.integration
@pytest.mark.parametrize(("seeds", "planned"), [(1, 0), (4, RATERS)])
def test_always_looking_calls_equal_arms_different_in_at_most_five_per_cent(
    seeds: int, planned: int, simulate: Simulate
) -> None:
    """With a planned number the last look is a fixed design's, and the ones before it have what it leaves."""
    draw = np.random.default_rng(seeds)
    states = [
        first_decision(simulate(draw, RATERS, 40, 24, seeds=seeds), planned=planned)[1]
        for _ in range(STUDIES)
    ]
    # three standard errors of so few studies; looking again and again with a fixed design's p would make a quarter of them
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert np.mean([state == DIFFERENT for state in states]) <= limit


@pytest.mark.integration
def test_a_large_difference_stops_early(simulate: Simulate) -> None:
    draw = np.random.default_rng(7)
    decisions = [first_decision(simulate(draw, RATERS, 60, 40, effect=2.0)) for _ in range(12)]
    assert (
        np.mean([state == "different" for _, state in decisions]) > 0.7
        and np.mean([raters for raters, _ in decisions]) < 0.8 * RATERS
    )


def test_the_interval_is_the_mixtures_and_wider_than_a_single_look() -> None:
    """The mixture at its own half-width is 1/α, computed as it is written."""
    x, v = half_width(0.05, 1e6, 0.05), 0.05**2
    mixed = [
        np.sqrt(v / (v + r**2)) * np.exp(x**2 * r**2 / (2 * v * (v + r**2))) for r in (0.05, 0.2)
    ]
    assert np.mean(mixed) == pytest.approx(20, rel=0.01)
    assert half_width(0.05, 1e6, 0.05) > 1.96 * 0.05
    assert (
        half_width(0.05, 7, 0.05) > half_width(0.05, 100, 0.05)
        and half_width(0.0, 7, 0.05) == np.inf
    )


def test_too_few_raters_decide_nothing(simulate: Simulate) -> None:
    assert (
        standings(
            simulate(np.random.default_rng(0), FEWEST_RATERS - 1, 20, 16, effect=5.0), "pair", 0.1
        )
        == []
    )


def test_at_the_planned_number_the_verdict_is_that_of_the_tables_p(simulate: Simulate) -> None:
    """Three arms in twelve studies: *different* exactly where Holm's p of the tables is below four per cent."""
    draw = np.random.default_rng(3)
    seen = set()
    for number in range(12):
        answers = simulate(draw, 12, 40, 24, effect=0.15 * number, arms=3)
        p = rates.pairs(answers, "pair").set_index(["first", "second"])["p_holm"]
        for look in standings(answers, "pair", 0.1, Plan(12)):
            assert (look.state == DIFFERENT) == (p[look.first, look.second] < AT_THE_END)
            seen.add(look.state)
    assert seen >= {DIFFERENT, NOT_SETTLED}


def test_a_plan_makes_the_last_look_stronger_and_the_early_ones_weaker(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(0), 12, 40, 24)

    def width(planned: int) -> float:
        [look] = standings(answers, "pair", 0.1, Plan(planned))
        return look.high - look.low

    assert width(12) < width(0) < width(13)


def test_who_is_rejected_does_not_count(simulate: Simulate) -> None:
    """Raters who miss the vigilance trials are left out of the verdicts and of the number that was planned."""
    answers = simulate(np.random.default_rng(1), 12, 40, 24, effect=1.0)
    watched = [
        (f"r{rater}", "vigilance", f"v{k}", "random colours", "left", "left", None)
        for rater in range(12)
        for k in range(8)
    ]
    careful = pd.concat([answers, pd.DataFrame(watched, columns=answers.columns)])
    careless = careful.copy()
    missed = (careless["rater"].isin(["r0", "r1"])) & (careless["kind"] == "vigilance")
    careless.loc[missed, "response"] = "right"
    without = careful[~careful["rater"].isin(["r0", "r1"])]
    assert standings(careless, "pair", 0.1, Plan(12)) == standings(without, "pair", 0.1, Plan(12))
    assert standings(careless, "pair", 0.1, Plan(10))[0].state != GO_ON
    assert standings(careless, "pair", 0.1, Plan(12)) != standings(careful, "pair", 0.1, Plan(12))


def test_a_study_is_settled_when_every_pair_is(simulate: Simulate) -> None:
    clear = standings(
        simulate(np.random.default_rng(1), 30, 60, 40, effect=4.0), "pair", 0.1, Plan(30)
    )
    assert [look.state for look in clear] == [DIFFERENT] and is_settled(clear)
    assert not is_settled([])


def test_later_raters_and_blocks_do_not_change_the_last_look(simulate: Simulate) -> None:
    """Looking again at each of them with all four per cent would be wrong in twelve per cent of studies in the end."""
    answers = simulate(np.random.default_rng(2), 24, 40, 24, effect=0.8)
    timed = answers.assign(block=1, time=[f"2026-01-01T{row:06d}" for row in range(len(answers))])
    planned = Plan(12, trials=24)
    first = standings(
        timed[timed["rater"].isin([f"r{k}" for k in range(12)])], "pair", 0.1, planned
    )
    assert first[0].state != GO_ON
    assert standings(timed, "pair", 0.1, planned) == first
    more = pd.concat([timed, timed[timed["rater"] == "r0"].assign(block=2, image="i999")])
    assert standings(more, "pair", 0.1, planned) == first


def test_who_has_not_finished_a_block_does_not_count_towards_the_number(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(2), 12, 40, 24)
    half = answers[(answers["rater"] != "r11") | (np.arange(len(answers)) % 2 == 0)]
    assert standings(answers, "pair", 0.1, Plan(12, trials=24))[0].state in (
        DIFFERENT,
        ALIKE,
        NOT_SETTLED,
    )
    early = standings(half, "pair", 0.1, Plan(12, trials=24))[0]
    assert early == standings(half, "pair", 0.1, Plan(99))[0]


def test_sheets_are_looked_at_once_however_many_came_back(simulate: Simulate) -> None:
    answers = simulate(np.random.default_rng(2), 10, 40, 24, effect=3.0)
    [look] = standings(answers, "pair", 0.1, Plan(12, is_last=True))
    assert look == standings(answers, "pair", 0.1, Plan(10))[0]


def test_the_truth_is_no_arm_to_be_told_apart() -> None:
    draw = np.random.default_rng(0)
    rows = [
        (f"r{rater}", "test", f"i{image}", arm, str(draw.integers(1, 6)), 0)
        for rater in range(10)
        for image in range(30)
        for arm in [("a", "b", "truth")[(image + rater) % 3]]
    ]
    columns = ["rater", "kind", "image", "arm", "response", "seed"]
    looks = standings(pd.DataFrame(rows, columns=columns), "opinion", 0.5)
    assert [(look.first, look.second) for look in looks] == [("a", "b")]

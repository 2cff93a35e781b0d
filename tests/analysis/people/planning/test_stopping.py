"""Looking after every rater: the error rate stays below 5 %, and a real difference is seen with fewer raters."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.people.planning.stopping import FEWEST_RATERS, GO_ON, half_width, standings

Simulate = Callable[..., pd.DataFrame]
RATERS = 36
STUDIES = 30


def first_decision(answers: pd.DataFrame, difference: float = 0.1) -> tuple[int, str]:
    """The number of raters at the first look that decides, and what it says; looks are taken after every second rater."""
    for raters in range(FEWEST_RATERS, RATERS + 1, 2):
        seen = answers[answers["rater"].isin([f"r{k}" for k in range(raters)])]
        for look in standings(seen, "pair", difference):
            if look.state != GO_ON:
                return raters, look.state
    return RATERS, GO_ON


@pytest.mark.integration
@pytest.mark.parametrize("seeds", [1, 4])
def test_always_looking_calls_equal_arms_different_in_at_most_five_per_cent(
    seeds: int, simulate: Simulate
) -> None:
    draw = np.random.default_rng(seeds)
    states = [
        first_decision(simulate(draw, RATERS, 40, 24, seeds=seeds))[1] for _ in range(STUDIES)
    ]
    assert np.mean([state == "different" for state in states]) <= 0.05 + 1.6 * np.sqrt(
        0.05 * 0.95 / STUDIES
    )


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

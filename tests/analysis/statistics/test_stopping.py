"""Seeds until intervals are narrow: the rule, and what it does to the error rate."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from analysis.statistics.scores import Scores
from analysis.statistics.stopping import FEWEST, Wanted, decide, settled

CAP = 20


def arms(draw: np.random.Generator, photographs: int, deviation: float, count: int = 2) -> Scores:
    """Arms that are all the same method, with seeds up to the cap."""
    shared = draw.normal(0, 3, photographs)
    values = {
        f"arm {k}": shared
        + draw.normal(0, 1, photographs)
        + draw.normal(0, deviation, (CAP, 1))
        + draw.normal(0, 1, (CAP, photographs))
        for k in range(count)
    }
    every = np.ones(photographs, bool)
    return Scores("m", values, dict.fromkeys(values, every), dict.fromkeys(values, False))


def grown(scores: Scores, wanted: Wanted) -> Scores:
    """The study as the rule leaves it. It looks at seeds in their order, so that all of them at once give the same decision."""
    return scores.of_first(min(decide(scores, list(scores.values), wanted).seeds, CAP))


def test_one_by_one_ends_where_all_at_once_say() -> None:
    scores, wanted = arms(np.random.default_rng(1), 100, 0.5), Wanted(0.7)
    seeds = 3
    while seeds < min(decide(scores.of_first(seeds), list(scores.values), wanted).seeds, CAP):
        seeds += 1
    assert seeds == grown(scores, wanted).seeds("arm 0") < CAP


def test_the_rule_goes_on_until_the_widest_is_narrow_and_then_a_third_more() -> None:
    scores = arms(np.random.default_rng(0), 200, 0.5, count=3)
    wanted = Wanted(0.6)
    ended = grown(scores, wanted)
    decision = decide(ended, list(scores.values), wanted)
    assert decision.narrow_at is not None and decision.half_width <= 0.6
    assert ended.seeds("arm 0") == decision.seeds == -(-decision.narrow_at * 4 // 3)
    before = scores.of_first(decision.narrow_at - 1)
    assert (
        decision.narrow_at == FEWEST
        or decide(before, list(scores.values), wanted).narrow_at is None
    )
    # the same command again says the same
    assert decide(ended, list(scores.values), wanted) == decision


def test_the_widest_pair_decides() -> None:
    """Two of three arms are calm: it is not enough that they are told apart."""
    scores = arms(np.random.default_rng(0), 200, 0.05, count=3)
    draw = np.random.default_rng(1)
    scores.values["arm 2"] += draw.normal(0, 2.0, (CAP, 1))
    halves = {pair: scores.two(*pair).half_width() for pair in combinations(scores.values, 2)}
    between = (halves["arm 0", "arm 1"] + max(halves.values())) / 2
    decision = decide(scores, list(scores.values), Wanted(between))
    assert "arm 2" in (decision.first, decision.second) and decision.half_width == pytest.approx(
        max(halves.values())
    )
    assert decision.narrow_at is None


def test_few_seeds_never_end_it() -> None:
    scores = arms(np.random.default_rng(0), 100, 0.0).of_first(3)
    assert decide(scores, list(scores.values), Wanted(1e9)).seeds == FEWEST
    one = scores.of_first(1)
    assert decide(one, list(one.values), Wanted(1e9)).seeds == FEWEST


def test_settled_wants_half_of_the_margin_at_holms_first_step() -> None:
    assert settled(margin=0.5, pairs=6) == Wanted(0.25, 0.05 / 6)
    assert settled(margin=0.5, pairs=0) == Wanted(0.25, 0.05)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.45, 0.7, 2.0])
def test_settled_gives_every_pair_a_verdict(shift: float) -> None:
    """Half of the margin: the interval leaves out 0, or lies within the margin."""
    scores = arms(np.random.default_rng(4), 400, 0.2)
    scores.values["arm 1"] += shift
    wanted = settled(margin=1.0, pairs=1)
    estimate = grown(scores, wanted).two("arm 0", "arm 1")
    assert estimate.half_width() <= 0.5
    assert estimate.p() < 0.05 or estimate.p_equivalent(1.0) < 0.05


def test_an_arm_that_lacks_seeds_is_waited_for() -> None:
    """The study has as many seeds as its shortest arm."""
    scores = arms(np.random.default_rng(0), 100, 0.1)
    short = replace(
        scores, values={"arm 0": scores.values["arm 0"], "arm 1": scores.values["arm 1"][:3]}
    )
    decision = decide(short, list(short.values), Wanted(1e-9))
    assert decision.narrow_at is None and decision.seeds == max(FEWEST, 4)
    long = replace(
        scores, values={"arm 0": scores.values["arm 0"], "arm 1": scores.values["arm 1"][:9]}
    )
    assert decide(long, list(long.values), Wanted(1e-9)).seeds == 10


@pytest.mark.slow
def test_the_error_rate_stays_near_its_nominal_one() -> None:
    """5 % nominal, 3.5 to 6.5 % allowed over all cases; the narrower the interval, the longer the search for a small spread."""
    draw, called = np.random.default_rng(8), []
    for photographs, deviation, width in (
        (100, 0.7, 0.7),
        (100, 0.3, 0.42),
        (300, 0.7, 1.0),
        (100, 0.0, 0.4),
    ):
        for _ in range(400):
            estimate = grown(arms(draw, photographs, deviation), Wanted(width)).two(
                "arm 0", "arm 1"
            )
            called.append(estimate.p() < 0.05)
    # 1,600 studies: ± two standard errors of their own
    assert 0.035 - 0.011 <= np.mean(called) <= 0.065 + 0.011

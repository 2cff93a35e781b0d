"""Whether a study has seeds enough: whether its intervals are narrow, never what they say.

Stopping when a difference becomes significant would find one sooner or later; the width of an interval knows nothing of where it
lies. It still chooses: a spread that happens to look small ends the study early. So no study ends with fewer than five seeds, and
one that has become narrow takes a third more seeds, which that chance had no part in. What is left of it is simulated in the tests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.statistics.crossed import LEVEL, Estimate
from analysis.statistics.scores import Scores

FEWEST = 5
MORE = 1 / 3  # seeds beyond those that made every interval narrow


@dataclass(frozen=True)
class Wanted:
    """Half of an interval that is narrow enough, at 1 - level."""

    half_width: float
    level: float = LEVEL


@dataclass(frozen=True)
class Decision:
    """The widest interval of two arms, at the seeds that made all narrow or at all there are; and how many seeds end it."""

    first: str
    second: str
    half_width: float
    narrow_at: int | None
    seeds: int


def settled(margin: float, pairs: int) -> Wanted:
    """Half of the margin, at Holm's first step: such an interval either leaves out 0 or lies within the margin.

    So each pair gets a verdict: better, or equivalent.
    """
    return Wanted(margin / 2, LEVEL / max(1, pairs))


def decide(scores: Scores, arms: Sequence[str], wanted: Wanted) -> Decision:
    """How many seeds an arm the study needs, as far as can be said; `seeds` of those that there are ends it.

    Args:
        arms: the trained ones, two or more.
    """
    have = min(scores.seeds(arm) for arm in arms)
    for seeds in range(FEWEST, have + 1):
        pair, half = _widest(scores.of_first(seeds), arms, wanted.level)
        if half <= wanted.half_width:
            return Decision(*pair, half, seeds, max(seeds, math.ceil(seeds * (1 + MORE))))
    pair, half = _widest(scores, arms, wanted.level)
    return Decision(*pair, half, None, max(FEWEST, have + 1))


def _widest(scores: Scores, arms: Sequence[str], level: float) -> tuple[tuple[str, str], float]:
    halves = {pair: _half(scores.two(*pair), level) for pair in combinations(arms, 2)}
    worst = max(halves, key=lambda pair: halves[pair])
    return worst, halves[worst]


def _half(found: Estimate, level: float) -> float:
    return found.half_width(level) if found.is_known else math.inf

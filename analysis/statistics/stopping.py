"""Whether a study has enough seeds: whether its intervals are narrow, regardless of what they show.

Stopping when a difference becomes significant would find one sooner or later; an interval's width does not depend on its
position. The rule still selects: a spread that is small by chance ends the study early. So no study ends with fewer than five
seeds, and one with narrow intervals takes a third more seeds, free of that chance. The tests simulate the bias that remains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.statistics.crossed import LEVEL, Estimate
from analysis.statistics.scores import Scores

FEWEST = 5
MORE = 1 / 3  # additional seeds, as a share of those that made every interval narrow


@dataclass(frozen=True)
class Wanted:
    """The half-width at which a 1 - level interval is narrow enough."""

    half_width: float
    level: float = LEVEL


@dataclass(frozen=True)
class Decision:
    """The pair with the widest interval, at the seeds that made all narrow, else at all seeds; `seeds` of them end the study."""

    first: str
    second: str
    half_width: float
    narrow_at: int | None
    seeds: int


def settled(margin: float, pairs: int) -> Wanted:
    """Wants half of the margin, at Holm's first step: such an interval either leaves out 0 or lies within the margin.

    So each pair gets a verdict: better, or equivalent.
    """
    return Wanted(margin / 2, LEVEL / max(1, pairs))


def decide(scores: Scores, arms: Sequence[str], wanted: Wanted) -> Decision:
    """Decides how many seeds per arm the study needs, as far as is known now; it ends once it has `Decision.seeds`.

    Args:
        arms: the trained arms, two or more.
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


def _half(estimate: Estimate, level: float) -> float:
    return estimate.half_width(level) if estimate.is_known else math.inf

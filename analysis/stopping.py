"""Whether a study has seeds enough: whether its intervals are narrow, never what they say.

Stopping when a difference becomes significant would find one sooner or later; the width of an interval knows nothing of where it
lies. What is left is that a spread which happens to look small stops early; the tests measure what that does to the error rate.
"""

import math
from dataclasses import dataclass
from itertools import combinations

from analysis.crossed import LEVEL, Estimate
from analysis.results import Results
from common.errors import ColourbenchError


@dataclass(frozen=True)
class Width:
    """The widest interval between two trained arms, and what is asked for: halves of them, in units of the primary metric."""

    first: str
    second: str
    half_width: float
    wanted: float

    @property
    def is_narrow(self) -> bool:
        """Whether it is as narrow as asked for, and so are all others."""
        return self.half_width <= self.wanted


def widest(results: Results, half_width: float | None) -> Width:
    """The pair of trained arms that is known worst.

    Args:
        half_width: of the 95 % interval; None asks for what settles the margin (`settling`).

    Raises:
        ColourbenchError: fewer than two arms are trained.
    """
    arms = list(dict.fromkeys(run.tags["arm"] for run in results.trained))
    if len(arms) < 2:
        raise ColourbenchError("there is no interval to make narrow: the study trains only one arm")
    level = LEVEL if half_width is not None else LEVEL / math.comb(len(results.arms), 2)
    wanted = half_width if half_width is not None else settling(float(results.settings["margin"]))
    found = results.scores(results.settings["primary"])
    halves = {pair: _half(found.two(*pair), level) for pair in combinations(arms, 2)}
    first, second = max(halves, key=lambda pair: halves[pair])
    return Width(first, second, halves[first, second], wanted)


def settling(margin: float) -> float:
    """Half of the margin: such an interval either leaves out 0 or lies within the margin, so that each pair gets a verdict."""
    return margin / 2


def _half(found: Estimate, level: float) -> float:
    return found.half_width(level) if found.is_known else math.inf

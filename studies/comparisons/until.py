"""Adds seeds to a study until its intervals are narrow; only their width counts, not which arm they favour."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from analysis import results
from analysis.statistics import stopping
from analysis.statistics.stopping import Decision, Wanted
from common.errors import ColourbenchError
from common.system import integrity
from common.system.names import STUDY
from studies.comparisons.study import Study
from studies.home import Home

SETTLED = "settled"
RECORD = "until"  # field of study.json

Say = Callable[[str], None]


@dataclass(frozen=True)
class Until:
    """The stopping rule: a half-width for the interval of every difference between trained arms; None: as the margin requires."""

    half_width: float | None
    most_seeds: int

    def record(self, added: int) -> dict[str, Any]:
        """Returns, for study.json, the rule and the number of seeds that it has added so far."""
        width = (
            "the margin is settled"
            if self.half_width is None
            else f"every interval is ± {self.half_width:g} or narrower"
        )
        return {
            **asdict(self),
            "text": f"{width}, or there are {self.most_seeds} seeds",
            "added": added,
        }


def rule(text: str, most_seeds: int) -> Until:
    """Parses what a user writes: `settled`, or the half-width of an interval in units of the primary metric.

    Raises:
        ColourbenchError: the text is neither.
    """
    if text == SETTLED:
        return Until(None, most_seeds)
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width < float("inf"):
        raise ColourbenchError(
            f"--until {text}: say `settled`, or half of the interval that is narrow enough, as 0.5"
        )
    return Until(width, most_seeds)


def recorded(home: Home, study: Study) -> dict[str, Any] | None:
    """Returns the rule that this study ran under before; None if it had none."""
    parent = home.store.find_one(study.name, "comparison", study.identity)
    if parent is None or not (parent.folder / STUDY).is_file():
        return None
    record: dict[str, Any] | None = integrity.read_json(parent.folder / STUDY, "compare again").get(
        RECORD
    )
    return record


def added(record: dict[str, Any] | None, say: Say) -> int:
    """Returns how many seeds were added before: they belong to the study, and none is dropped because of its result."""
    count = int(record["added"]) if record else 0
    if count:
        say(f"{count} seeds were added to each arm before (--until); they stay")
    return count


def is_over(home: Home, study: Study, rule: Until, say: Say) -> bool:
    """Whether the study has enough seeds, or the most that are allowed; prints which.

    Raises:
        ColourbenchError: fewer than two arms are trained.
    """
    if len(study.trained) < 2:
        raise ColourbenchError("--until compares trained arms, and this study trains only one")
    study_results = results.load(home.store, home.data, study.name)
    pairs = math.comb(len(study_results.arms), 2)
    wanted = (
        stopping.settled(study.margin, pairs)
        if rule.half_width is None
        else Wanted(rule.half_width)
    )
    decision = stopping.decide(study_results.scores(study.primary), list(study.trained), wanted)
    have = min(len(study.seeds_of(arm)) for arm in study.trained)
    say(_told(decision, wanted, have, rule.most_seeds))
    return have >= min(decision.seeds, rule.most_seeds)


def _told(decision: Decision, wanted: Wanted, have: int, most: int) -> str:
    widest = f"{decision.first} − {decision.second} ± {decision.half_width:.2g}"
    if decision.narrow_at is None:
        rest = (
            f"not reached with --most-seeds {most}"
            if have >= most
            else "one seed more for every arm"
        )
        return f"{have} seeds: the widest interval is {widest}, and ± {wanted.half_width:.2g} is asked for: {rest}"
    ends = (
        "enough"
        if have >= decision.seeds
        else f"a third more, {min(decision.seeds, most)}, and it ends"
    )
    return f"{have} seeds: with {decision.narrow_at} every interval was as narrow as ± {wanted.half_width:.2g} ({widest}): {ends}"

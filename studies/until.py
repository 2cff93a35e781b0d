"""Adds seeds to a study until its intervals are narrow: by their width, whatever they say."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from analysis import results, stopping
from analysis.results import STUDY
from common import kept
from common.errors import ColourbenchError
from studies.home import Home
from studies.study import Study

SETTLED = "settled"
RECORD = "until"  # field of study.json
MOST_SEEDS = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Until:
    """The rule: half of the interval of every difference between trained arms; None is what settles the study's margin."""

    half_width: float | None
    most_seeds: int

    def record(self, added: int) -> dict[str, Any]:
        """For study.json: the rule, and how many seeds it added so far."""
        width = "the margin is settled" if self.half_width is None else f"every interval is ± {self.half_width:g} or narrower"
        return {**asdict(self), "text": f"{width}, or there are {self.most_seeds} seeds", "added": added}


def rule(text: str, most_seeds: int) -> Until:
    """From what a user writes: `settled`, or half of an interval in units of the primary metric.

    Raises:
        ColourbenchError: it is neither.
    """
    if text == SETTLED:
        return Until(None, most_seeds)
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width < float("inf"):
        raise ColourbenchError(f"--until {text}: say `settled`, or half of the interval that is narrow enough, as 0.5")
    return Until(width, most_seeds)


def recorded(home: Home, study: Study) -> dict[str, Any] | None:
    """The rule that this study ran under before; None where it had none."""
    parent = home.store.find_one(study.name, "comparison", study.identity)
    if parent is None or not (parent.folder / STUDY).is_file():
        return None
    record: dict[str, Any] | None = kept.read_json(parent.folder / STUDY, "compare again").get(RECORD)
    return record


def added(record: dict[str, Any] | None, say: Say) -> int:
    """How many seeds were added before: they belong to the study, and none is dropped for what it showed."""
    count = int(record["added"]) if record else 0
    if count:
        say(f"{count} seeds were added to each arm before (--until); they stay")
    return count


def is_over(home: Home, study: Study, wanted: Until, say: Say) -> bool:
    """Whether the intervals are narrow enough, or there are as many seeds as may be; says which.

    Raises:
        ColourbenchError: no two arms are trained.
    """
    found = stopping.widest(results.load(home.store, home.data, study.name), wanted.half_width)
    seeds = min(len(study.seeds_of(arm)) for arm in study.trained)
    pair = f"the widest interval, {found.first} − {found.second}"
    at = f"{seeds} seeds: {pair}, is ± {found.half_width:.2g} and ± {found.wanted:.2g} is asked for"
    if found.is_narrow:
        say(f"{at}: enough")
    elif seeds >= wanted.most_seeds:
        say(f"{at}: not reached with --most-seeds {wanted.most_seeds}")
    else:
        say(f"{at}: one seed more for every arm")
    return found.is_narrow or seeds >= wanted.most_seeds

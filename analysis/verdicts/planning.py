"""How many seeds and photographs would find a difference, estimated from the variances of existing runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from analysis.results import Results
from analysis.statistics.crossed import LEVEL, Components
from common.errors import ColourbenchError

SEEDS = (2, 3, 5, 8, 12, 20)
PHOTOGRAPHS = (0.25, 1.0, 4.0)  # as multiples of the pilot's number


@dataclass(frozen=True)
class Plan:
    """What various designs would find for the pair that is hardest to tell apart, and the seeds that find the margin.

    `designs` has one row per design: seeds, photographs, half_width, detectable, hours; `hours` counts all arms of the study.
    """

    first: str
    second: str
    variances: Components
    pilot_seeds: int
    photographs: int
    designs: pd.DataFrame
    # a range: they find the margin with 80 % power on the pilot's photographs; None: none do
    seeds: tuple[int, int] | None
    # training time that the missing seeds still need, at the lower end of the range
    hours: float | None


def plan(results: Results, margin: float) -> Plan:
    """Makes the plan from a study's finished runs.

    Raises:
        ColourbenchError: fewer than two trained arms have two seeds.
    """
    seeds = results.table[~results.table["fixed"]].groupby("arm")["seed"].nunique()
    arms = [arm for arm in results.arms if seeds.get(arm, 0) >= 2]
    photographs = int(results.table["photograph"].nunique())
    _check_pilot(arms, photographs)
    scores = results.scores(results.settings["primary"])
    components = {pair: scores.components(*pair) for pair in combinations(arms, 2)}
    hardest = max(components, key=lambda pair: components[pair].design(3, photographs).variance)
    parts = components[hardest]
    # Holm's first step over all pairs, with baselines, as in the verdict
    level = LEVEL / math.comb(len(results.arms), 2)
    seconds = sum(map(results.seconds_a_seed, results.arms))
    designs = _designs(parts, photographs, level, seconds)
    have = int(seeds[arms].min())
    needed = parts.seeds_range(margin, photographs, 2 * (have - 1), level)
    hours = _hours(needed, have, seconds)
    return Plan(*hardest, parts, have, photographs, designs, needed, hours)


def _hours(needed: tuple[int, int] | None, have: int, seconds: float) -> float | None:
    """Hours that the seeds which are missing would take at least."""
    return max(0, needed[0] - have) * seconds / 3600 if needed else None


def _designs(parts: Components, photographs: int, level: float, seconds: float) -> pd.DataFrame:
    rows = []
    for share in PHOTOGRAPHS:
        number = max(2, round(share * photographs))
        rows += [_design(parts, seeds, number, level, seconds) for seeds in SEEDS]
    return pd.DataFrame(rows)


def _check_pilot(arms: Sequence[str], photographs: int) -> None:
    if len(arms) < 2:
        raise ColourbenchError(
            "a plan needs two trained arms with two seeds each: they show how far seeds lie apart; run the pilot"
        )
    if photographs < 2:
        raise ColourbenchError(
            "a plan needs a test split of two photographs or more; prepare the data set with more of them"
        )


def _design(
    parts: Components, seeds: int, photographs: int, level: float, seconds: float
) -> dict[str, float | int]:
    estimate = parts.design(seeds, photographs)
    detectable = estimate.detectable(level)
    return {
        "seeds": seeds,
        "photographs": photographs,
        "half_width": estimate.half_width(),
        "detectable": detectable,
        "hours": seeds * seconds / 3600,
    }

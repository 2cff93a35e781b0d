"""How many seeds and photographs would settle a question, estimated from the variances of existing runs."""

import math
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
    """What various designs would detect for the pair that is hardest to tell apart, and the fewest seeds that settle the margin.

    `designs` has one row per design: seeds, photographs, half_width, detectable, hours; `hours` counts all arms of the study.
    """

    first: str
    second: str
    variances: Components
    pilot_seeds: int
    photographs: int
    designs: pd.DataFrame
    seeds: int | None  # that settle the margin on the pilot's photographs; None if there are too few photographs
    hours: float | None  # training time that the missing seeds still need


def plan(results: Results, margin: float) -> Plan:
    """Makes the plan from a study's finished runs.

    Raises:
        ColourbenchError: fewer than two trained arms have two seeds.
    """
    seeds = results.table[~results.table["fixed"]].groupby("arm")["seed"].nunique()
    arms = [arm for arm in results.arms if seeds.get(arm, 0) >= 2]
    if len(arms) < 2:
        raise ColourbenchError(
            "a plan needs two trained arms with two seeds each: they show how far seeds lie apart; run the pilot"
        )
    pairs = list(combinations(arms, 2))
    level = LEVEL / math.comb(len(results.arms), 2)  # Holm's first step over all pairs, with baselines, as in the verdict
    primary = results.settings["primary"]
    photographs = int(results.table["photograph"].nunique())
    if photographs < 2:
        raise ColourbenchError("a plan needs a test split of two photographs or more; prepare the data set with more of them")
    components = {pair: results.scores(primary).components(*pair) for pair in pairs}
    first, second = max(pairs, key=lambda pair: components[pair].design(3, photographs).variance)
    parts, seconds = components[first, second], sum(map(results.seconds_a_seed, results.arms))
    rows = [_design(parts, s, max(2, round(share * photographs)), level, seconds) for share in PHOTOGRAPHS for s in SEEDS]
    needed = parts.seeds_for(margin, photographs, level)
    have = int(seeds[arms].min())
    hours = max(0, needed - have) * seconds / 3600 if needed else None
    return Plan(first, second, parts, have, photographs, pd.DataFrame(rows), needed, hours)


def _design(parts: Components, seeds: int, photographs: int, level: float, seconds: float) -> dict[str, float | int]:
    estimate = parts.design(seeds, photographs)
    detectable = estimate.detectable(level)
    return {
        "seeds": seeds,
        "photographs": photographs,
        "half_width": estimate.half_width(),
        "detectable": detectable,
        "hours": seeds * seconds / 3600,
    }

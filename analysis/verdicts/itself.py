"""How often the suite calls a method different from itself (A/A): every split of a method's seeds into two halves, every metric.

Arms that are `like` another one are the same method, so their seeds count together. Splits of the same seeds share most of
their runs, so the rate is a description and not a test.
"""

import math
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.results import Results
from analysis.statistics import fixed_runs
from analysis.statistics.crossed import LEVEL, two_methods
from analysis.statistics.scores import matrix
from common.colour.metrics import METRICS

FEWEST_SEEDS = 4  # two in each half
MOST_SPLITS = 200  # per method
RESAMPLES = 2000


def against_itself(results: Results) -> pd.DataFrame:
    """One row per method and metric: splits, and how many were called different, as methods and as these runs alone.

    Empty if no method has four seeds.
    """
    rows = []
    for name, arms in _methods(results).items():
        rows_of_method = results.table[results.table["arm"].isin(arms)]
        for metric in METRICS:
            if (
                METRICS[metric].direction
                and metric in rows_of_method
                and rows_of_method[metric].notna().any()
            ):
                rows.append(
                    {"method": name, "metric": metric, **_splits(matrix(rows_of_method, metric))}
                )
    return pd.DataFrame(rows)


def summary(frame: pd.DataFrame) -> str:
    """The rates in one sentence; empty for an empty table."""
    if frame.empty:
        return ""
    splits, called, runs = (
        int(frame[name].sum()) for name in ("splits", "called", "called_as_runs")
    )
    return (
        f"The same method was called different from itself in {called} of {splits} comparisons ({called / splits:.1%}; "
        f"nominal {LEVEL:.0%}). "
        f"Tests over photographs alone, which take the trained seeds for the method, did so in {runs} ({runs / splits:.0%})."
    )


def _methods(results: Results) -> dict[str, list[str]]:
    """Trained arms grouped by method, for the methods that have enough seeds."""
    trained = {run.tags["arm"] for run in results.trained}
    like = {
        arm: fields.get("like", arm)
        for arm, fields in results.settings["arms"].items()
        if arm in trained
    }
    methods: dict[str, list[str]] = {}
    for arm, method in like.items():
        methods.setdefault(method, []).append(arm)
    seeds = results.table.groupby("arm")["seed"].nunique()
    return {
        name: arms
        for name, arms in methods.items()
        if sum(seeds[arm] for arm in arms) >= FEWEST_SEEDS
    }


def _splits(values: pd.DataFrame) -> dict[str, int]:
    complete = values.loc[:, values.notna().all()].to_numpy()
    halves = _halves(len(complete))
    called = sum(
        two_methods(complete[list(one)], complete[list(other)]).p() < LEVEL for one, other in halves
    )
    d = np.stack(
        [
            complete[list(one)].mean(axis=0) - complete[list(other)].mean(axis=0)
            for one, other in halves
        ],
        axis=1,
    )
    as_runs = int((fixed_runs.p_value(d, RESAMPLES) < LEVEL).sum())
    return {"splits": len(halves), "called": int(called), "called_as_runs": as_runs}


@cache
def _halves(seeds: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every split of the seeds into two halves, the smaller first if their number is odd; a random sample if splits are many."""
    size = seeds // 2
    if math.comb(seeds, size) > 4 * MOST_SPLITS:
        draw = np.random.default_rng(0)
        chosen = {
            tuple(sorted(int(i) for i in draw.permutation(seeds)[:size]))
            for _ in range(MOST_SPLITS)
        }
        halves = sorted(chosen)
    else:
        halves = list(combinations(range(seeds), size))
        if 2 * size == seeds:
            # the others are the same splits with the halves swapped
            halves = [half for half in halves if 0 in half]
    return [(half, tuple(i for i in range(seeds) if i not in half)) for half in halves]

"""Compares the arms of a study in one metric, as methods (`crossed`) and also as these runs alone (`fixed_runs`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics import fixed_runs
from analysis.statistics.crossed import LEVEL, Estimate
from analysis.statistics.scores import Scores, scores

# of an estimate that is read back from a table
NO_PARTS = (
    float("nan"),
    float("nan"),
    float("nan"),
)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, over new seeds and new photographs."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """first - second in one metric: estimate, interval and p are about the methods; `runs_…` about these networks alone.

    `low` and `high` are the 95 % interval of this difference alone; tables of all pairs add intervals after Holm's correction.
    """

    metric: str
    first: str
    second: str
    estimate: float
    low: float
    high: float
    p: float
    variance: float  # of the estimate, over seeds and photographs
    df: float
    # the smallest difference found with 80 % power at 5 % over all pairs; inf if the estimate is not known
    detectable: float
    seeds_first: int  # 0 for an arm without seeds, such as a baseline
    seeds_second: int
    photographs: int
    left_out: int  # photographs without a finite value under some seed of either arm
    runs_low: float
    runs_high: float
    runs_p: float


def interval(scored: Scores, arm: str) -> Interval:
    """The mean of one arm and its interval, which is NaN if the arm has a single seed and is not a baseline."""
    estimate = scored.one(arm)
    return Interval(estimate.value, *estimate.interval())


def differences(
    table: pd.DataFrame, metric: str, resamples: int = fixed_runs.RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """All pairs of arms in one metric, with Holm's correction over the pairs in `p_holm` and `runs_p_holm`.

    Args:
        table: as for `scores`.
    """
    return all_pairs(scores(table, metric), resamples, seed)


def all_pairs(scored: Scores, resamples: int = fixed_runs.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """All pairs of arms, as `differences` gives them, from scores."""
    frame = _compared(scored, list(combinations(scored.values, 2)), resamples, seed)
    levels = holm_levels(frame["p"].tolist())
    intervals = [
        estimate_of(row).interval(level)
        for row, level in zip(frame.to_dict("records"), levels, strict=True)
    ]
    return frame.assign(
        p_holm=holm(frame["p"].tolist()),
        low_holm=[low for low, _ in intervals],
        high_holm=[high for _, high in intervals],
        runs_p_holm=holm(frame["runs_p"].tolist()),
    )


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """The estimate behind a row of a table of pairs."""
    return Estimate(float(row["estimate"]), float(row["variance"]), float(row["df"]), NO_PARTS)


def difference(
    table: pd.DataFrame,
    metric: str,
    first: str,
    second: str,
    resamples: int = fixed_runs.RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """The difference of two arms in one metric. If they share no photograph, all values are NaN and p is 1."""
    (row,) = _compared(scores(table, metric), [(first, second)], resamples, seed, level).to_dict(
        "records"
    )
    return Difference(**{str(name): value for name, value in row.items()})


def within(
    tables: Mapping[str, pd.DataFrame], metric: str, pairs: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Pairs of arms within each of several groups, such as classes or films; p has Holm's correction over all of them together.

    Args:
        tables: by the group's name, a table as for `scores`.
        pairs: one is left out of a group that lacks one of its arms.
    """
    cells = [
        (name, pair)
        for name, table in tables.items()
        for pair in pairs
        if set(pair) <= set(table["arm"])
    ]
    rows = [
        {
            "group": name,
            **vars(difference(tables[name], metric, first, second, level=LEVEL / len(cells))),
        }
        for name, (first, second) in cells
    ]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    return frame.assign(
        p_holm=holm(frame["p"].tolist()), runs_p_holm=holm(frame["runs_p"].tolist())
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): the k-th smallest of n times n - k + 1, and none below its predecessor.

    statsmodels has it too, but runs a full garbage collection at each call, which made a simulated study six times slower.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def holm_levels(p: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level at which each of several intervals agrees with Holm's decision: it leaves out 0 exactly where p after Holm < level.

    Holm multiplies each p-value by a number of its own; its interval has the level divided by that number.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    raised = np.maximum.accumulate(values[order] * factors)
    own = np.divide(raised, values[order], out=factors.astype(float), where=values[order] > 0)
    levels = np.empty_like(values)
    levels[order] = level / own
    return [float(value) for value in levels]


def clearly_best(pairs: pd.DataFrame, means: dict[str, float], direction: int) -> str | None:
    """The arm whose method is better than every other after Holm's correction; None if there is none.

    Args:
        means: of the arms that can be best, which excludes baselines: they are only a reference.
    """
    if not direction or not means:
        return None
    best = max(means, key=lambda arm: direction * means[arm])
    pairs_of_best = pairs[(pairs["first"] == best) | (pairs["second"] == best)]
    better = (
        np.where(pairs_of_best["first"] == best, 1, -1)
        * np.sign(pairs_of_best["estimate"])
        * direction
        > 0
    )
    return (
        best
        if len(pairs_of_best) and bool(((pairs_of_best["p_holm"] < LEVEL) & better).all())
        else None
    )


def _compared(
    scored: Scores,
    pairs: list[tuple[str, str]],
    resamples: int,
    seed: int,
    level: float | None = None,
) -> pd.DataFrame:
    level = LEVEL / max(1, len(pairs)) if level is None else level
    rows = [_row(scored, first, second, level) for first, second in pairs]
    frame = pd.DataFrame(rows, columns=[field.name for field in fields(Difference)][:-3])
    d = (
        np.stack([scored.by_photograph(*pair) for pair in pairs], axis=1)
        if pairs
        else np.empty((0, 0))
    )
    runs = fixed_runs.test(d[np.isfinite(d).any(axis=1)], resamples, seed)
    return frame.assign(runs_low=runs.low, runs_high=runs.high, runs_p=runs.p)


def _row(scored: Scores, first: str, second: str, level: float) -> tuple[object, ...]:
    estimate = scored.two(first, second)
    low, high = estimate.interval()
    measured = (
        estimate.value,
        low,
        high,
        estimate.p(),
        estimate.variance,
        estimate.df,
        estimate.detectable(level),
    )
    counts = (
        scored.seeds(first),
        scored.seeds(second),
        int(scored.common(first, second).sum()),
        scored.left_out(first, second),
    )
    return (scored.metric, first, second, *measured, *counts)

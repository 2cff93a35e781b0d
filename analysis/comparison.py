"""Arms of a study compared in one metric: about the methods (`crossed`), and beside it about these runs alone (`these_runs`)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis import these_runs
from analysis.crossed import LEVEL, Components, Estimate, components, one_method, two_methods

Matrix = Float[np.ndarray, "_seeds photographs"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, over new seeds and new photographs."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """first - second in one metric: estimate, interval and p are about the methods; `runs_…` about these networks alone."""

    metric: str
    first: str
    second: str
    estimate: float
    low: float
    high: float
    p: float
    variance: float  # of the estimate, over seeds and photographs
    df: float
    detectable: float  # the smallest difference seen with 80 % power at 5 % over all pairs; inf where none can be
    seeds_first: int  # 0: an arm that has none, as a baseline
    seeds_second: int
    photographs: int
    left_out: int  # photographs that lack a finite value under some seed of one of the two
    runs_low: float
    runs_high: float
    runs_p: float


def arm_interval(table: pd.DataFrame, metric: str) -> Interval:
    """The mean of one arm and its interval; without one where it has a single seed and is no baseline.

    Args:
        table: one row an image and seed, with columns `seed`, `photograph`, the metric, and `baseline` where there are any.
    """
    found = _method_of_one(_complete(matrix(table, metric)), _is_without_seeds(table))
    low, high = found.interval()
    return Interval(found.value, low, high)


def differences(table: pd.DataFrame, metric: str, resamples: int = these_runs.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """All pairs of arms in one metric, with Holm's correction over the pairs in `p_holm` and `runs_p_holm`.

    Args:
        table: one row an arm, seed and image, with columns `arm`, `baseline`, `seed`, `image`, `photograph` and the metric.
    """
    arms = list(dict.fromkeys(table["arm"]))
    frame = _compared(table, metric, list(combinations(arms, 2)), resamples, seed)
    return frame.assign(p_holm=holm(frame["p"].tolist()), runs_p_holm=holm(frame["runs_p"].tolist()))


def difference(
    table: pd.DataFrame,
    metric: str,
    first: str,
    second: str,
    resamples: int = these_runs.RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """Two arms in one metric. Without a common photograph all figures are NaN and p is 1."""
    (row,) = _compared(table, metric, [(first, second)], resamples, seed, level).to_dict("records")
    return Difference(**{str(name): value for name, value in row.items()})


def variances(table: pd.DataFrame, metric: str, first: str, second: str) -> Components:
    """The variances of seeds, error and photographs behind a difference, for planning."""
    one, other, _ = _on_common_photographs(*(matrix(table[table["arm"] == arm], metric) for arm in (first, second)))
    return components(one.to_numpy(), other.to_numpy())


def matrix(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over images of every seed (rows) and photograph (columns); NaN where one is missing or a value is not finite."""
    values = table[metric].where(np.isfinite(table[metric]))
    keyed = pd.DataFrame({"seed": table["seed"], "photograph": table["photograph"], "value": values})
    grouped = keyed.groupby(["seed", "photograph"])["value"]
    return grouped.mean().where(grouped.count() == grouped.size()).unstack("photograph")


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): the k-th smallest of n times n - k + 1, and none below its predecessor.

    statsmodels has it too, but collects all garbage at each call, which made a simulated study six times slower.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def clearly_best(pairs: pd.DataFrame, means: dict[str, float], direction: int) -> str | None:
    """The arm whose method is better than every other after Holm; None where none is.

    Args:
        means: of the arms that can be best: a baseline is a line to compare with.
    """
    if not direction or not means:
        return None
    best = max(means, key=lambda arm: direction * means[arm])
    mine = pairs[(pairs["first"] == best) | (pairs["second"] == best)]
    better = np.where(mine["first"] == best, 1, -1) * np.sign(mine["estimate"]) * direction > 0
    return best if len(mine) and bool(((mine["p_holm"] < LEVEL) & better).all()) else None


def _compared(
    table: pd.DataFrame, metric: str, pairs: list[tuple[str, str]], resamples: int, seed: int, level: float | None = None
) -> pd.DataFrame:
    by_arm = dict(iter(table.groupby("arm", sort=False)))
    chosen = {arm: matrix(by_arm[arm], metric) for pair in pairs for arm in pair if arm in by_arm}
    fixed = {arm: _is_without_seeds(by_arm[arm]) for arm in chosen}
    level = LEVEL / max(1, len(pairs)) if level is None else level
    rows, columns = [], {}
    for number, (first, second) in enumerate(pairs):
        one, other, left_out = _on_common_photographs(chosen[first], chosen[second])
        found = _method_of_two(one.to_numpy(), other.to_numpy(), fixed[first], fixed[second])
        columns[number] = one.mean() - other.mean()
        low, high = found.interval()
        seeds = [0 if fixed[arm] else len(chosen[arm]) for arm in (first, second)]
        measured = (found.value, low, high, found.p(), found.variance, found.df, found.detectable(level))
        rows.append((metric, first, second, *measured, *seeds, one.shape[1], left_out))
    frame = pd.DataFrame(rows, columns=[field.name for field in fields(Difference)][:-3])
    d = pd.DataFrame(columns).to_numpy(float).reshape(-1, len(pairs)) if pairs else np.empty((0, 0))
    runs = these_runs.judge(d, resamples, seed)
    return frame.assign(runs_low=runs.low, runs_high=runs.high, runs_p=runs.p)


def _on_common_photographs(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both on the photographs that each of their seeds has, and how many of all that leaves out."""
    every = first.columns.union(second.columns)
    common = _complete(first).columns.intersection(_complete(second).columns)
    return first[common], second[common], len(every) - len(common)


def _complete(values: pd.DataFrame) -> pd.DataFrame:
    return values.loc[:, values.notna().all()]


def _is_without_seeds(arm: pd.DataFrame) -> bool:
    """A baseline, or results from outside: it has no seeds, and nothing in it is random but the photographs."""
    return bool(arm["baseline"].all()) if "baseline" in arm else False


def _method_of_one(values: pd.DataFrame, is_fixed: bool) -> Estimate:
    y = values.to_numpy()
    return one_method(y) if is_fixed or len(y) > 1 else _unknown(float(y.mean()) if y.size else float("nan"))


def _method_of_two(first: Matrix, second: Matrix, first_fixed: bool, second_fixed: bool) -> Estimate:
    """One seed of a method says nothing about others."""
    if first.shape[1] == 0:
        return _unknown(float("nan"))
    lone = any(len(y) < 2 and not fixed for y, fixed in ((first, first_fixed), (second, second_fixed)))
    return _unknown(float(first.mean() - second.mean())) if lone else two_methods(first, second)


def _unknown(value: float) -> Estimate:
    return Estimate(value, float("nan"), 0.0, (float("nan"),) * 3)

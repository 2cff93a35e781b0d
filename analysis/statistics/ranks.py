"""Arms over several data sets or metrics: average ranks, Friedman's test, Nemenyi's critical difference (Demšar 2006)."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from analysis.statistics.crossed import LEVEL

MOST_ORDERS = 20_000  # that are enumerated: up to 5 arms on 3 data sets


@dataclass(frozen=True)
class Ranks:
    """`average` has the best arm first; two arms differ if their average ranks are `critical_difference` or more apart."""

    average: pd.Series
    data_sets: int
    chi_squared: float
    F: float  # the statistic of Iman & Davenport, which is less conservative
    p: float  # by enumerating all orders where there are few, else that of F
    critical_difference: float

    @property
    def differing(self) -> list[tuple[str, str]]:
        """Pairs of arms that differ, the better one first; none if Friedman's test is not significant."""
        if not self.p < LEVEL:
            return []
        arms = list(self.average.index)
        pairs = [(one, other) for i, one in enumerate(arms) for other in arms[i + 1 :]]
        return [
            pair
            for pair in pairs
            if self.average[pair[1]] - self.average[pair[0]] >= self.critical_difference
        ]


def ranks(scores: pd.DataFrame, direction: int) -> Ranks:
    """Ranks of a table with one row per data set and one column per arm; rank 1 is the best, and ties share their mean rank.

    Args:
        direction: 1 if higher is better, -1 if lower is.
    """
    n, k = scores.shape
    table = (-direction * scores).rank(axis=1)
    average = table.mean().sort_values()
    return (
        from_average(average, n)
        if k > 1 and n > 1
        else Ranks(average, n, math.nan, math.nan, 1.0, math.inf)
    )


def from_average(average: pd.Series, data_sets: int) -> Ranks:
    """Friedman's statistic from average ranks (Demšar 2006, section 3.2.2)."""
    k = len(average)
    n = data_sets
    chi = 12 * n / (k * (k + 1)) * (float((average**2).sum()) - k * (k + 1) ** 2 / 4)
    rest = n * (k - 1) - chi
    F = (n - 1) * chi / rest if rest > 1e-9 else math.inf
    if math.factorial(k) ** (n - 1) <= MOST_ORDERS:
        p = _exact(k, n, float((average**2).sum()))
    else:
        p = (
            float(stats.f.sf(F, k - 1, (k - 1) * (n - 1)))
            if math.isfinite(F)
            else 1 / math.factorial(k) ** (n - 1)
        )
    return Ranks(average, n, chi, F, p, critical_difference(k, n))


@cache
def _sums_of_squares(arms: int, data_sets: int) -> Float[np.ndarray, " orders"]:
    """Σ (average rank)² for every way in which data sets can order the arms; the first data set's order is the one that counts."""
    orders = np.array(list(permutations(range(1, arms + 1))), dtype=float)
    sums = orders[:1]
    for _ in range(data_sets - 1):
        sums = (sums[:, None] + orders[None]).reshape(-1, arms)
    return np.asarray(((sums / data_sets) ** 2).sum(axis=1))


def _exact(arms: int, data_sets: int, sum_of_squares: float) -> float:
    """The share of all orders whose average ranks lie as far apart or farther: Friedman's p by enumeration (exact without ties)."""
    return float((_sums_of_squares(arms, data_sets) >= sum_of_squares - 1e-9).mean())


def nemenyi(ranking: Ranks) -> pd.DataFrame:
    """The p-value of each pair of arms; 1 for all pairs if Friedman's test is not significant."""
    average = ranking.average
    apart = np.abs(average.to_numpy()[:, None] - average.to_numpy()[None, :])
    error = _standard_error(len(average), ranking.data_sets)
    p = stats.studentized_range.sf(apart / error * math.sqrt(2), len(average), np.inf)
    return pd.DataFrame(
        p if ranking.p < LEVEL else np.ones_like(p), index=average.index, columns=average.index
    )


def critical_difference(arms: int, data_sets: int, level: float = LEVEL) -> float:
    """q √(k (k + 1) / 6N), where q is the quantile of the studentised range over √2."""
    q = float(stats.studentized_range.ppf(1 - level, arms, np.inf)) / math.sqrt(2)
    return q * _standard_error(arms, data_sets)


def _standard_error(arms: int, data_sets: int) -> float:
    return math.sqrt(arms * (arms + 1) / (6 * data_sets))

"""One metric of every arm as matrices of seeds x photographs, with the crossed model's estimates for one arm or two."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.statistics.crossed import (
    Components,
    Estimate,
    components,
    one_method,
    one_method_twice,
    two_methods,
)

Matrix = Float[np.ndarray, "_seeds photographs"]
Row = Float[np.ndarray, " photographs"]
Mask = Bool[np.ndarray, " photographs"]


@dataclass(frozen=True)
class Scores:
    """`values` has one row per seed and one column per photograph, the same columns for every arm; NaN marks a missing value."""

    metric: str
    values: dict[str, Matrix]
    listed: dict[str, Mask]  # photographs that an arm was evaluated on at all
    fixed: dict[str, bool]  # arms without seeds: only their photographs are random
    # of an arm that shows another's networks: that arm
    networks: dict[str, str] = field(default_factory=dict)

    def one(self, arm: str) -> Estimate:
        """The mean of a method over the photographs that all its seeds have; its variance is unknown if it has a single seed."""
        y = self.values[arm][:, self._complete(arm)]
        if y.size == 0 or (len(y) == 1 and not self.fixed[arm]):
            return _unknown(float(y.mean()) if y.size else float("nan"))
        return one_method(y)

    def two(self, first: str, second: str) -> Estimate:
        """first - second; its variance is unknown if a method has a single seed, which says nothing about other seeds."""
        one, other = self._pair(first, second)
        if one.size == 0:
            return _unknown(float("nan"))
        is_lone = any(len(self.values[arm]) == 1 and not self.fixed[arm] for arm in (first, second))
        if is_lone:
            return _unknown(float(one.mean() - other.mean()))
        return (
            one_method_twice(one, other)
            if self.are_paired(first, second)
            else two_methods(one, other)
        )

    def are_paired(self, first: str, second: str) -> bool:
        """Whether both arms show the same networks, with and without labels for instance, so that seeds are compared in pairs."""
        is_same = self.networks.get(first, first) == self.networks.get(second, second)
        return is_same and len(self.values[first]) == len(self.values[second])

    def seeds_won(self, first: str, second: str, direction: int) -> float:
        """The share of all pairs of a seed of each arm in which the first one's mean is better, ties half (Mann-Whitney's U / mn).

        The probability of improvement of Agarwal et al. 2021 for one task: near 1, a new seed of the first arm will beat a new one
        of the second. NaN where an arm has a single seed or none.

        Args:
            direction: 1 if larger is better, -1 if smaller.
        """
        one, other = self._pair(first, second)
        is_lone = any(self.fixed[arm] or len(self.values[arm]) < 2 for arm in (first, second))
        if is_lone or one.size == 0:
            return float("nan")
        gain = direction * (one.mean(axis=1)[:, None] - other.mean(axis=1)[None])
        return float(((gain > 0) + 0.5 * (gain == 0)).mean())

    def components(self, first: str, second: str) -> Components:
        """The variances of seeds, error and photographs behind a difference, for planning."""
        one, other = self._pair(first, second)
        if self.are_paired(first, second):
            return components(one - other, np.zeros((1, one.shape[1])))
        return components(one, other)

    def common(self, first: str, second: str) -> Mask:
        """The photographs for which every seed of both arms has a value."""
        mask: Mask = self._complete(first) & self._complete(second)
        return mask

    def left_out(self, first: str, second: str) -> int:
        """The number of photographs that either arm was evaluated on but that are not common to both."""
        return int(
            (self.listed[first] | self.listed[second]).sum() - self.common(first, second).sum()
        )

    def by_photograph(self, first: str, second: str) -> Row:
        """The difference of the means over seeds for each photograph; NaN where the photograph is not common to both."""
        one, other = self._pair(first, second)
        row = np.full(self.values[first].shape[1], np.nan)
        row[self.common(first, second)] = one.mean(axis=0) - other.mean(axis=0)
        return row

    def of_first(self, seeds: int) -> "Scores":
        """The same scores with only the first seeds of each arm."""
        return replace(
            self,
            values={arm: y if self.fixed[arm] else y[:seeds] for arm, y in self.values.items()},
        )

    def seeds(self, arm: str) -> int:
        """The number of seeds of an arm; 0 for an arm without seeds."""
        return 0 if self.fixed[arm] else len(self.values[arm])

    def _complete(self, arm: str) -> Mask:
        mask: Mask = np.isfinite(self.values[arm]).all(axis=0)
        return mask

    def _pair(self, first: str, second: str) -> tuple[Matrix, Matrix]:
        common = self.common(first, second)
        return self.values[first][:, common], self.values[second][:, common]


def scores(table: pd.DataFrame, metric: str) -> Scores:
    """Builds the scores from one row per arm, seed and image; several images of a photograph count as their mean.

    Args:
        table: with columns `arm`, `seed`, `photograph`, the metric; `fixed` if there are arms without seeds; and `networks`, the
            arm whose networks are shown, if some arms show those of others.
    """
    arms = {str(arm): rows for arm, rows in table.groupby("arm", sort=False)}
    photographs = pd.Index(pd.unique(table["photograph"])).sort_values()
    matrices = {arm: matrix(rows, metric) for arm, rows in arms.items()}
    listed = {arm: photographs.isin(values.columns) for arm, values in matrices.items()}
    aligned = {
        arm: values.reindex(columns=photographs).to_numpy(dtype=float)
        for arm, values in matrices.items()
    }
    fixed = {
        arm: bool(rows["fixed"].all()) if "fixed" in rows else False for arm, rows in arms.items()
    }
    networks = {
        arm: str(rows["networks"].iloc[0]) if "networks" in rows else arm
        for arm, rows in arms.items()
    }
    return Scores(metric, aligned, listed, fixed, networks)


def matrix(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over images for every seed (rows) and photograph (columns); NaN where one is missing or a value is not finite."""
    values = table[metric].where(np.isfinite(table[metric]))
    keyed = pd.DataFrame(
        {"seed": table["seed"], "photograph": table["photograph"], "value": values}
    )
    grouped = keyed.groupby(["seed", "photograph"])["value"]
    return grouped.mean().where(grouped.count() == grouped.size()).unstack("photograph")


def _unknown(value: float) -> Estimate:
    return Estimate(value, float("nan"), 0.0, (float("nan"),) * 3)

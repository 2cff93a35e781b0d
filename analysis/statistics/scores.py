"""One metric of every arm as matrices of seeds x photographs, and what the crossed model makes of one arm or two."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.statistics.crossed import Components, Estimate, components, one_method, two_methods

Matrix = Float[np.ndarray, "_seeds photographs"]
Row = Float[np.ndarray, " photographs"]
Mask = Bool[np.ndarray, " photographs"]


@dataclass(frozen=True)
class Scores:
    """`values` has a row a seed and a column a photograph, the same columns for every arm; NaN where a figure is missing."""

    metric: str
    values: dict[str, Matrix]
    listed: dict[str, Mask]  # photographs that an arm was given at all
    fixed: dict[str, bool]  # arms without seeds: nothing in them is random but the photographs

    def one(self, arm: str) -> Estimate:
        """The mean of a method, over the photographs that every seed has; unknown beyond its runs where it has a single seed."""
        y = self.values[arm][:, self._complete(arm)]
        if y.size == 0 or (len(y) == 1 and not self.fixed[arm]):
            return _unknown(float(y.mean()) if y.size else float("nan"))
        return one_method(y)

    def two(self, first: str, second: str) -> Estimate:
        """first - second; one seed of a method says nothing about others."""
        one, other = self._pair(first, second)
        if one.size == 0:
            return _unknown(float("nan"))
        is_lone = any(len(self.values[arm]) == 1 and not self.fixed[arm] for arm in (first, second))
        return _unknown(float(one.mean() - other.mean())) if is_lone else two_methods(one, other)

    def components(self, first: str, second: str) -> Components:
        """The variances of seeds, error and photographs behind a difference, for planning."""
        return components(*self._pair(first, second))

    def common(self, first: str, second: str) -> Mask:
        """The photographs of which every seed of both has a figure."""
        found: Mask = self._complete(first) & self._complete(second)
        return found

    def left_out(self, first: str, second: str) -> int:
        """How many photographs that one of the two was given are not among them."""
        return int((self.listed[first] | self.listed[second]).sum() - self.common(first, second).sum())

    def by_photograph(self, first: str, second: str) -> Row:
        """The difference of the means over seeds, NaN where it is not common."""
        one, other = self._pair(first, second)
        row = np.full(self.values[first].shape[1], np.nan)
        row[self.common(first, second)] = one.mean(axis=0) - other.mean(axis=0)
        return row

    def of_first(self, seeds: int) -> "Scores":
        """The same with the first seeds of each arm alone."""
        return replace(self, values={arm: y if self.fixed[arm] else y[:seeds] for arm, y in self.values.items()})

    def seeds(self, arm: str) -> int:
        """How many; 0 where there is no such thing."""
        return 0 if self.fixed[arm] else len(self.values[arm])

    def _complete(self, arm: str) -> Mask:
        found: Mask = np.isfinite(self.values[arm]).all(axis=0)
        return found

    def _pair(self, first: str, second: str) -> tuple[Matrix, Matrix]:
        common = self.common(first, second)
        return self.values[first][:, common], self.values[second][:, common]


def scores(table: pd.DataFrame, metric: str) -> Scores:
    """From a row an arm, seed and image; several images of a photograph count as their mean.

    Args:
        table: with columns `arm`, `seed`, `photograph`, the metric, and `fixed` where there are arms without seeds.
    """
    arms = {str(arm): mine for arm, mine in table.groupby("arm", sort=False)}
    photographs = pd.Index(pd.unique(table["photograph"])).sort_values()
    found = {arm: matrix(mine, metric) for arm, mine in arms.items()}
    listed = {arm: photographs.isin(values.columns) for arm, values in found.items()}
    aligned = {arm: values.reindex(columns=photographs).to_numpy(dtype=float) for arm, values in found.items()}
    fixed = {arm: bool(mine["fixed"].all()) if "fixed" in mine else False for arm, mine in arms.items()}
    return Scores(metric, aligned, listed, fixed)


def matrix(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over images of every seed (rows) and photograph (columns); NaN where one is missing or a value is not finite."""
    values = table[metric].where(np.isfinite(table[metric]))
    keyed = pd.DataFrame({"seed": table["seed"], "photograph": table["photograph"], "value": values})
    grouped = keyed.groupby(["seed", "photograph"])["value"]
    return grouped.mean().where(grouped.count() == grouped.size()).unstack("photograph")


def _unknown(value: float) -> Estimate:
    return Estimate(value, float("nan"), 0.0, (float("nan"),) * 3)

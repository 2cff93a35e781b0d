"""Arm means with errors that count raters, photographs and seeds: least squares with clustered errors (Cameron et al. 2011)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

CLUSTERED = "errors clustered by rater and by photograph"
ONE_RATER = "of these trials only: one rater or one photograph says nothing about others"

Numbers = Int[np.ndarray, " n"]
Influence = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Clusters:
    """Who judged what: a number for each rater and each photograph, and the trials and seeds of each arm that has several."""

    raters: Numbers
    images: Numbers
    seeds: list[tuple[Bool[np.ndarray, " n"], Numbers]]

    @property
    def has_several(self) -> bool:
        """Whether there are two raters and two photographs at least."""
        return bool(self.raters.max() > 0 and self.images.max() > 0)

    @property
    def df(self) -> dict[str, int]:
        """Degrees of freedom of raters and of photographs."""
        return {"rater": max(int(self.raters.max()), 1), "image": max(int(self.images.max()), 1)}

    def error(self, influence: Influence, smallest: float = 0.0) -> tuple[float, float]:
        """Standard error of an estimate, and its degrees of freedom, from each trial's influence on it.

        Clustered by rater, photograph and seed (Cameron, Gelbach & Miller 2011, §2.3), no smaller than any one-way error, and no
        smaller than `smallest`. Degrees of freedom are Satterthwaite's, at most those of the raters or of the photographs: raters
        and photographs spend what they add to the noise of single trials, seeds their whole variance, as in the crossed model.
        """
        rater = _variance(influence, self.raters)
        image = _variance(influence, self.images)
        both = _variance(influence, crossed(self.raters, self.images))
        seeds = [self._of_seeds(influence, trials, numbers) for trials, numbers in self.seeds]
        whole = sum((own.whole for own in seeds), 0.0)
        added = sum((own.added for own in seeds), 0.0)
        variance = max(rater + image - both + added, rater, image, whole, smallest**2)
        spent = sum((own.whole**2 / own.df for own in seeds), 0.0)
        for name, own_variance in (("rater", rater), ("image", image)):
            spent += max(own_variance - both, 0.0) ** 2 / self.df[name]
        most = float(min(self.df.values()))
        return float(np.sqrt(variance)), min(most, variance**2 / spent) if spent > 0 else most

    def _of_seeds(
        self, influence: Influence, trials: Bool[np.ndarray, " n"], numbers: Numbers
    ) -> "_OfSeeds":
        own = influence[trials]
        raters = self.raters[trials]
        images = self.images[trials]
        whole = _variance(own, numbers)
        shared = _variance(own, crossed(raters, numbers), unbiased=False) + _variance(
            own, crossed(images, numbers), unbiased=False
        )
        both = _variance(own, crossed(raters, images, numbers), unbiased=False)
        return _OfSeeds(whole, whole - shared + both, int(numbers.max()))


@dataclass(frozen=True)
class _OfSeeds:
    """The variance between one arm's seeds, what it adds to that between raters and photographs, and its degrees of freedom."""

    whole: float
    added: float
    df: int


@dataclass(frozen=True)
class Fit:
    """Arm means, each trial's influence on them, and which contrasts the design can estimate."""

    means: Float[np.ndarray, " arms"]
    # None where there is a single rater or photograph
    influence: Float[np.ndarray, "n arms"] | None
    weights: Float[np.ndarray, "n arms"]  # of each answer in the arms' means
    clusters: Clusters
    seeds: dict[str, int]  # of each arm; 0 where none is known
    method: str
    # rows of X⁺X: the identity if every contrast can be estimated
    projection: Float[np.ndarray, "arms columns"]

    def can_estimate(self, contrast: Float[np.ndarray, " arms"]) -> bool:
        """Whether the contrast of arms can be separated from rater and photograph effects."""
        padded = np.concatenate([contrast, np.zeros(self.projection.shape[1] - len(contrast))])
        return bool(np.allclose(contrast @ self.projection, padded, atol=1e-8))

    def error(self, contrast: Float[np.ndarray, " arms"], step: float = 1.0) -> tuple[float, float]:
        """Standard error of a contrast of arms, and its degrees of freedom.

        The error is at least what one answer more or less would change: where all answers are alike, the variance is a rounding
        residue, which is no certainty.

        Args:
            step: by how much one answer can differ from another.
        """
        if self.influence is None:
            raise LookupError(self.method)
        one_answer = step * float(np.abs(self.weights @ contrast).max())
        return self.clusters.error(self.influence @ contrast, one_answer)


def _indicators(arm: pd.Series, arms: Sequence[str]) -> Float[np.ndarray, "trials arms"]:
    is_arm: np.ndarray = arm.to_numpy()[:, None] == np.asarray(arms)[None]
    return is_arm.astype(float)


def _correction(n: int, rank: int) -> float:
    """Residuals are smaller than errors, for the parameters were fitted to them (CR1, as in Stata)."""
    return float(np.sqrt((n - 1) / (n - rank)))


def _clusters_of(table: pd.DataFrame, arms: Sequence[str]) -> Clusters:
    raters = pd.factorize(table["rater"])[0]
    pictured = pd.factorize(photographs(table["image"]))[0]
    return Clusters(raters, pictured, _by_arm(table["arm"], _seeds(table), arms))


class Regression:
    """y = arm, or arm + rater + photograph, for one table of trials; `fit` takes any answers to them."""

    def __init__(self, table: pd.DataFrame, arms: Sequence[str], effects: bool) -> None:
        """Prepares the design.

        Args:
            table: columns rater, image, arm, and seed where it is known.
            effects: whether raters and photographs have effects of their own.
        """
        self._clusters = _clusters_of(table, arms)
        has_several = self._clusters.has_several
        seeds = _seeds(table)
        self._counts = {arm: len(np.unique(seeds[table["arm"] == arm])) for arm in arms}
        parts = [_indicators(table["arm"], arms)]
        if effects and has_several:
            images = pd.factorize(table["image"])[0]
            parts += [_effects(self._clusters.raters), _effects(images)]
        self._X = np.hstack(parts)
        self._bread = np.linalg.pinv(self._X.T @ self._X)
        k = len(arms)
        self._weights = self._X @ self._bread[:, :k]  # of each trial in the arms' means
        self._projection = (self._bread @ self._X.T @ self._X)[:k]
        rank = int(np.linalg.matrix_rank(self._X))
        self._enough = has_several and len(table) > rank
        self._residual = _correction(len(table), rank) if self._enough else 1.0

    def fit(self, y: Float[np.ndarray, " n"]) -> Fit:
        """The arms' means, and what their errors follow from."""
        beta = self._bread @ (self._X.T @ y)
        k = len(self._counts)
        influence = (
            self._weights * (self._residual * (y - self._X @ beta))[:, None]
            if self._enough
            else None
        )
        return Fit(
            means=beta[:k],
            influence=influence,
            weights=self._weights,
            clusters=self._clusters,
            seeds=self._counts,
            method=CLUSTERED if self._enough else ONE_RATER,
            projection=self._projection if self._enough else np.eye(k),
        )


def fit(table: pd.DataFrame, arms: Sequence[str], effects: bool) -> Fit:
    """Fits the column `value` of a table of trials, which has the columns that `Regression` needs."""
    return Regression(table, arms, effects).fit(table["value"].to_numpy(float))


def photographs(images: pd.Series) -> pd.Series:
    """The photograph of each image: `file#tile` names a tile of `file`, and tiles of one photograph are not independent."""
    return images.astype(str).str.replace(r"#\d+$", "", regex=True)


def _seeds(table: pd.DataFrame) -> Int[np.ndarray, " n"]:
    """A number for each seed of each arm; answers of an older version have none, and count as one seed of their arm."""
    seeds = table["seed"].fillna(-1) if "seed" in table else pd.Series(-1, index=table.index)
    return np.asarray(pd.factorize(table["arm"].astype(str) + " " + seeds.astype(str))[0])


def _by_arm(
    arm: pd.Series, seeds: Numbers, arms: Sequence[str]
) -> list[tuple[Bool[np.ndarray, " n"], Numbers]]:
    """The trials of each arm that has several seeds, with a number for each seed: one seed says nothing about others."""
    groups = []
    for name in arms:
        trials = (arm == name).to_numpy()
        numbers = np.asarray(pd.factorize(seeds[trials])[0])
        if len(numbers) and numbers.max() > 0:
            groups.append((trials, numbers))
    return groups


def crossed(*groups: np.ndarray) -> Numbers:
    """A number for each combination of groups."""
    numbers = np.zeros(len(groups[0]), np.int64)
    for group in groups:
        numbers = numbers * (group.max() + 1) + group
    return np.asarray(pd.factorize(numbers)[0])


def _variance(influence: Influence, groups: Numbers, unbiased: bool = True) -> float:
    """The cluster-robust variance, with G / (G - 1) for G clusters where it stands for itself."""
    sums = np.bincount(groups, weights=influence)
    count = int(groups.max()) + 1
    return float(sums @ sums) * (count / max(count - 1, 1) if unbiased else 1.0)


def _effects(groups: np.ndarray) -> Float[np.ndarray, "n g"]:
    """Effect coding: columns sum to zero over groups, so that arm coefficients are means over raters and images."""
    count = groups.max() + 1
    codes = np.vstack([np.eye(count - 1), -np.ones((1, count - 1))])
    return np.asarray(codes[groups])

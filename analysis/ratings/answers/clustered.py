"""Arm means with errors that count raters, photographs and seeds: least squares with clustered errors (Cameron et al. 2011)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

CLUSTERED = "errors clustered by rater and by photograph"
ONE_RATER = "over trials alone; too few raters to count their differences"

Covariance = Float[np.ndarray, "arms arms"]


@dataclass(frozen=True)
class Fit:
    """Arm means, covariances of them with different clustering, and which contrasts the design can estimate."""

    means: Float[np.ndarray, " arms"]
    clustered: dict[str, Covariance]  # by "rater", "image", "seed", and by their products
    df: dict[str, int]  # of raters and of photographs
    seeds: dict[str, int]  # of each arm; 0 where none is known
    method: str
    projection: Float[np.ndarray, "arms columns"]  # rows of X⁺X: the identity if every contrast can be estimated

    def can_estimate(self, contrast: Float[np.ndarray, " arms"]) -> bool:
        """Whether the contrast of arms can be separated from rater and photograph effects."""
        padded = np.concatenate([contrast, np.zeros(self.projection.shape[1] - len(contrast))])
        return bool(np.allclose(contrast @ self.projection, padded, atol=1e-8))

    def error(self, contrast: Float[np.ndarray, " arms"]) -> tuple[float, float]:
        """Standard error of a contrast of arms, and its degrees of freedom.

        Clustered by rater, photograph and seed (Cameron, Gelbach & Miller 2011, §2.3), and no smaller than any one-way error.
        Degrees of freedom are Satterthwaite's over what raters, photographs and seeds add to the noise of single trials, at most
        those of the raters or of the photographs.
        """
        v = {name: float(contrast @ matrix @ contrast) for name, matrix in self.clustered.items()}
        both = v["rater"] + v["image"] + v["seed"] - v["rater x image"] - v["rater x seed"] - v["image x seed"] + v["trial"]
        variance = max(both, v["rater"], v["image"], v["seed"], 0.0)
        added = {name: max(v[name] - v["rater x image"], 0.0) for name in ("rater", "image")}
        spent = sum(added[name] ** 2 / self.df[name] for name in added) + self._spent_by_seeds(contrast)
        most = float(min(self.df.values()))
        return float(np.sqrt(variance)), min(most, variance**2 / spent) if spent > 0 else most

    def _spent_by_seeds(self, contrast: Float[np.ndarray, " arms"]) -> float:
        """Each arm has its own seeds, whose shares of the variance add up."""
        added = np.diag(self.clustered["seed"]) - np.diag(self.clustered["trial"])
        counts = np.array(list(self.seeds.values()))
        return float(np.sum((contrast**2 * np.maximum(added, 0)) ** 2 / np.maximum(counts - 1, 1)))


class Regression:
    """y = arm, or arm + rater + photograph, for one table of trials; `fit` takes any answers to them."""

    def __init__(self, table: pd.DataFrame, arms: Sequence[str], effects: bool) -> None:
        """Prepares the design.

        Args:
            table: columns rater, image, arm, and seed where it is known.
            effects: whether raters and photographs have effects of their own.
        """
        self._raters, images = pd.factorize(table["rater"])[0], pd.factorize(table["image"])[0]
        self._images = pd.factorize(photographs(table["image"]))[0]
        self._seeds = _seeds(table)
        self._counts = {arm: len(np.unique(self._seeds[table["arm"] == arm])) for arm in arms}
        self._several = table["arm"].map(self._counts).to_numpy()
        self._enough = self._raters.max() > 0 and self._images.max() > 0
        indicator = (table["arm"].to_numpy()[:, None] == np.asarray(arms)[None]).astype(float)
        parts = [_effects(self._raters), _effects(images)] if effects and self._enough else []
        self._X = np.hstack([indicator, *parts])
        self._bread = np.linalg.pinv(self._X.T @ self._X)
        k = len(arms)
        self._weights = self._X @ self._bread[:, :k]  # of each trial in the arms' means
        self._projection = (self._bread @ self._X.T @ self._X)[:k]
        rank = int(np.linalg.matrix_rank(self._X))
        self._enough = bool(self._enough and len(table) > rank)
        # residuals are smaller than errors, for the parameters were fitted to them (CR1, as in Stata)
        self._residual = np.sqrt((len(table) - 1) / (len(table) - rank)) if self._enough else 1.0

    def fit(self, y: Float[np.ndarray, " n"]) -> Fit:
        """The arms' means and their errors."""
        beta = self._bread @ (self._X.T @ y)
        k = len(self._counts)
        df = {"rater": int(self._raters.max()), "image": int(self._images.max())}
        if not self._enough:
            return Fit(beta[:k], {}, df, self._counts, ONE_RATER, np.eye(k))
        scores = self._weights * (self._residual * (y - self._X @ beta))[:, None]  # each trial's influence on the arms' means
        raters, images = self._raters, self._images
        clustered = {"rater": cluster_covariance(scores, raters), "image": cluster_covariance(scores, images)}
        clustered["rater x image"] = cluster_covariance(scores, crossed(raters, images))
        clustered |= _with_seeds(scores, raters, images, self._seeds, self._several)
        return Fit(beta[:k], clustered, df, self._counts, CLUSTERED, self._projection)


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


def crossed(*groups: np.ndarray) -> np.ndarray:
    """A number for each combination of groups."""
    numbers = np.zeros(len(groups[0]), np.int64)
    for group in groups:
        numbers = numbers * (group.max() + 1) + group
    return numbers


def _with_seeds(
    scores: np.ndarray, raters: np.ndarray, images: np.ndarray, seeds: np.ndarray, counts: np.ndarray
) -> dict[str, Covariance]:
    """The covariances that seeds add, over the arms that have several; one seed says nothing about others.

    Seeds are clustered within each arm, with S / (S - 1) for its S seeds.
    """
    several = counts > 1
    rows, r, i, s, count = scores[several], raters[several], images[several], seeds[several], counts[several]
    if not len(rows):
        nothing = np.zeros((scores.shape[1], scores.shape[1]))
        return dict.fromkeys(("seed", "rater x seed", "image x seed", "trial"), nothing)
    groups = {"rater x seed": crossed(r, s), "image x seed": crossed(i, s), "trial": crossed(r, i, s)}
    by_seed = cluster_covariance(rows * np.sqrt(count / (count - 1))[:, None], s) * (1 - 1 / len(np.unique(s)))
    return {"seed": by_seed, **{name: cluster_covariance(rows, numbers) for name, numbers in groups.items()}}


def _effects(groups: np.ndarray) -> Float[np.ndarray, "n g"]:
    """Effect coding: columns sum to zero over groups, so that arm coefficients are means over raters and images."""
    count = groups.max() + 1
    codes = np.vstack([np.eye(count - 1), -np.ones((1, count - 1))])
    return np.asarray(codes[groups])


def cluster_covariance(scores: Float[np.ndarray, "n arms"], groups: np.ndarray) -> Covariance:
    """The cluster-robust covariance of the arms' means, with G / (G - 1) for G clusters."""
    numbers = pd.factorize(groups)[0]
    count = numbers.max() + 1
    sums = np.stack([np.bincount(numbers, weights=column, minlength=count) for column in scores.T], axis=1)
    covariance: np.ndarray = sums.T @ sums * (count / max(count - 1, 1))
    return covariance

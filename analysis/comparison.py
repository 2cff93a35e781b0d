"""The statistics that compare arms: paired bootstrap, sign-flip test, Holm's correction.

The unit is photograph x seed. Tiles of one photograph are no independent observations, so photographs are resampled whole;
seeds are strata: each seed's photographs are resampled on their own. Seeds themselves are few, so what varies between them
is shown beside every difference instead of being hidden in its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

RESAMPLES = 10_000
EXACT_UP_TO = 13  # photographs; 2^13 sign patterns are still enumerated
CHUNK = 500  # resamples held in memory at once

Matrix = Float[np.ndarray, "seeds photographs"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """first - second in one metric."""

    metric: str
    first: str
    second: str
    estimate: float
    low: float
    high: float
    p: float
    detectable: float  # the smallest difference that this design sees with 80 % power at 5 %
    seeds: int
    seeds_agreeing: int  # seeds whose own mean difference has the sign of the estimate
    photographs: int


def arm_interval(table: pd.DataFrame, metric: str, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of one arm and its bootstrap interval.

    Args:
        table: one row an image and seed, with columns `seed`, `photograph` and the metric.
    """
    values, weights = _matrices(table, metric)
    return _interval(_weighted_mean(values, weights), bootstrap_means(values, weights, resamples, seed))


def differences(table: pd.DataFrame, metric: str, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """All pairs of arms in one metric, with Holm's correction over the pairs.

    Args:
        table: one row an arm, seed and image, with columns `arm`, `seed`, `image`, `photograph` and the metric.
    """
    arms = list(dict.fromkeys(table["arm"]))
    rows = [difference(table, metric, a, b, resamples, seed) for a, b in combinations(arms, 2)]
    frame = pd.DataFrame([vars(row) for row in rows])
    if len(frame):
        frame["p_holm"] = holm(frame["p"].tolist())
    return frame


def difference(table: pd.DataFrame, metric: str, first: str, second: str, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Two arms in one metric, paired by image and seed; an arm without seeds (a baseline) is paired with every seed."""
    paired = pair(table, metric, first, second)
    values, weights = _matrices(paired, "difference")
    draws = bootstrap_means(values, weights, resamples, seed)
    interval = _interval(_weighted_mean(values, weights), draws)
    by_seed = np.array([_weighted_mean(v[None], w[None]) for v, w in zip(values, weights, strict=True)])
    by_photograph = (values * weights).sum(axis=0) / weights.sum(axis=0)
    return Difference(
        metric,
        first,
        second,
        interval.estimate,
        interval.low,
        interval.high,
        p=sign_flip(by_photograph * weights.sum(axis=0), resamples, seed),
        detectable=float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * draws.std(ddof=1)),
        seeds=len(values),
        seeds_agreeing=int((np.sign(by_seed) == np.sign(interval.estimate)).sum()),
        photographs=values.shape[1],
    )


def pair(table: pd.DataFrame, metric: str, first: str, second: str) -> pd.DataFrame:
    """Columns `seed`, `image`, `photograph`, `difference`; rows where a value is not finite are left out."""
    a, b = (table.loc[table["arm"] == arm, ["seed", "image", "photograph", metric]] for arm in (first, second))
    keys = ["seed", "image", "photograph"]
    if a["seed"].nunique() == 1 or b["seed"].nunique() == 1:  # a baseline is the same whatever the seed
        fixed, other = (a, b) if a["seed"].nunique() == 1 else (b, a)
        seeds = other[["seed"]].drop_duplicates()
        fixed = fixed.drop(columns="seed").merge(seeds, how="cross")
        a, b = (fixed, b) if a["seed"].nunique() == 1 else (a, fixed)
    both = a.merge(b, on=keys, suffixes=("_first", "_second"))
    both["difference"] = both[f"{metric}_first"] - both[f"{metric}_second"]
    finite: pd.DataFrame = both.loc[np.isfinite(both["difference"]), [*keys, "difference"]]
    return finite


def bootstrap_means(values: Matrix, weights: Matrix, resamples: int, seed: int) -> Float[np.ndarray, " r"]:
    """Means of `resamples` draws: in each seed on its own, photographs are drawn with replacement (Efron & Tibshirani 1993, §8)."""
    draw = np.random.default_rng(seed)
    seeds, photographs = values.shape
    even = np.full(photographs, 1 / photographs)
    means = []
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        counts = draw.multinomial(photographs, even, size=(size, seeds))  # (r, seeds, photographs)
        totals = (counts * weights).sum(axis=(1, 2))
        means.append((counts * (values * weights)).sum(axis=(1, 2)) / np.maximum(totals, 1e-12))
    return np.concatenate(means)


def sign_flip(sums: Float[np.ndarray, " photographs"], resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of the hypothesis that each photograph's difference is as likely positive as negative (Fisher 1935).

    All sign patterns for up to 13 photographs; `resamples` random ones above, with the +1 of Phipson & Smyth 2010.
    """
    observed = abs(sums.sum()) * (1 - 1e-12)
    if len(sums) <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float((np.abs(signs @ sums) >= observed).mean())
    draw = np.random.default_rng(seed)
    extreme = sum(
        int((np.abs(draw.choice([-1.0, 1.0], size=(min(CHUNK, resamples - start), len(sums))) @ sums) >= observed).sum())
        for start in range(0, resamples, CHUNK)
    )
    return (1 + extreme) / (1 + resamples)


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
    """The arm that is better than every other, significantly after Holm and in every seed; None where no arm is."""
    if not direction or not means:
        return None
    best = max(means, key=lambda arm: direction * means[arm])
    mine = pairs[(pairs["first"] == best) | (pairs["second"] == best)]
    sure = (mine["p_holm"] < 0.05) & (mine["seeds_agreeing"] == mine["seeds"])
    return best if len(mine) and bool(sure.all()) else None


def _matrices(table: pd.DataFrame, metric: str) -> tuple[Matrix, Matrix]:
    """Mean value and number of images of every seed (rows) and photograph (columns)."""
    finite = table[np.isfinite(table[metric])]
    grouped = finite.groupby(["seed", "photograph"])[metric].agg(["mean", "size"]).unstack("photograph")
    return grouped["mean"].fillna(0.0).to_numpy(float), grouped["size"].fillna(0).to_numpy(float)


def _weighted_mean(values: Matrix, weights: Matrix) -> float:
    return float((values * weights).sum() / weights.sum())


def _interval(estimate: float, draws: Float[np.ndarray, " r"]) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(estimate, float(low), float(high))

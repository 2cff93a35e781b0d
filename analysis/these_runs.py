"""These very networks on new photographs: only photographs are random. Right for crowning one model over another.

It says nothing about the methods behind the networks: other seeds would make other networks (see `crossed`). Means are
bootstrapped, differences tested by flipping signs; what all seeds of a photograph share stays together.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
EXACT_UP_TO = 13  # photographs; 2^13 sign patterns are still enumerated
CHUNK = 500  # resamples held in memory at once

Columns = Float[np.ndarray, "photographs k"]


@dataclass(frozen=True)
class OfTheseRuns:
    """For each column of differences: the 95 % interval of its mean, and the two-sided p."""

    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    p: Float[np.ndarray, " k"]


def judge(d: Columns, resamples: int = RESAMPLES, seed: int = 0) -> OfTheseRuns:
    """Each photograph's differences (mean over seeds), a column a pair of arms; NaN where a pair lacks the photograph."""
    if len(d) < 2:  # one photograph says nothing about others
        unknown = np.full(d.shape[1], np.nan)
        return OfTheseRuns(unknown, unknown, np.ones(d.shape[1]))
    low, high = np.percentile(bootstrap_means(d, resamples, seed), [2.5, 97.5], axis=0)
    enough = np.isfinite(d).sum(axis=0) >= 2
    return OfTheseRuns(
        np.where(enough, low, np.nan), np.where(enough, high, np.nan), np.where(enough, sign_flip(d, resamples, seed), 1.0)
    )


def bootstrap_means(d: Columns, resamples: int, seed: int) -> Float[np.ndarray, "r k"]:
    """Means of draws of photographs with replacement, the same draws for every column (Efron & Tibshirani 1993, §8)."""
    draw = np.random.default_rng(seed)
    n = len(d)
    present, values = np.isfinite(d).astype(float), np.nan_to_num(d)
    means = []
    for start in range(0, resamples, CHUNK):
        counts = draw.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, resamples - start)).astype(float)  # (r, n)
        means.append((counts @ values) / np.maximum(counts @ present, 1e-12))
    return np.concatenate(means)


def sign_flip(d: Columns, resamples: int = RESAMPLES, seed: int = 0) -> Float[np.ndarray, " k"]:
    """Two-sided p of the hypothesis that each photograph's difference is as likely positive as negative (Fisher 1935).

    All sign patterns for up to 13 photographs; `resamples` random ones above, with the +1 of Phipson & Smyth 2010.
    """
    values = np.nan_to_num(d)
    observed = np.abs(values.sum(axis=0)) * (1 - 1e-12)
    n = len(values)
    if n <= EXACT_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        exact: np.ndarray = (np.abs(signs @ values) >= observed).mean(axis=0)
        return exact
    draw = np.random.default_rng(seed)
    extreme = np.zeros(values.shape[1])
    for start in range(0, resamples, CHUNK):
        signs = draw.integers(0, 2, size=(min(CHUNK, resamples - start), n)) * 2.0 - 1.0
        extreme += (np.abs(signs @ values) >= observed).sum(axis=0)
    p: np.ndarray = (1 + extreme) / (1 + resamples)
    return p

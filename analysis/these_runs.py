"""These very networks on new photographs: only photographs are random. Right for crowning one model over another.

It says nothing about the methods behind the networks: other seeds would make other networks (see `crossed`). Means are
bootstrapped, differences tested by flipping signs; what all seeds of a photograph share stays together.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int8, UInt16

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
    present, values = np.isfinite(d).astype(float), np.nan_to_num(d)
    drawn = _draws(len(d), resamples, seed)
    chunks = (drawn[start : start + CHUNK].astype(float) for start in range(0, resamples, CHUNK))
    return np.concatenate([(counts @ values) / np.maximum(counts @ present, 1e-12) for counts in chunks])


@lru_cache(maxsize=1)
def _draws(n: int, resamples: int, seed: int) -> UInt16[np.ndarray, "r n"]:
    """How often each resample draws each photograph: the same for every metric of a report, and slow to make."""
    draw, places = np.random.default_rng(seed), n * np.arange(CHUNK)[:, None]
    counts = np.empty((resamples, n), np.uint16)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        drawn = (draw.integers(0, n, size=(size, n), dtype=np.int32) + places[:size]).ravel()
        counts[start : start + size] = np.bincount(drawn, minlength=size * n).reshape(size, n)
    return counts


@lru_cache(maxsize=1)
def _signs(n: int, resamples: int, seed: int) -> Int8[np.ndarray, "r n"]:
    """Random signs, the same for every metric too."""
    return np.random.default_rng(seed).integers(0, 2, size=(resamples, n), dtype=np.int8) * np.int8(2) - np.int8(1)


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
    drawn, extreme = _signs(n, resamples, seed), np.zeros(values.shape[1])
    for start in range(0, resamples, CHUNK):
        extreme += (np.abs(drawn[start : start + CHUNK].astype(float) @ values) >= observed).sum(axis=0)
    p: np.ndarray = (1 + extreme) / (1 + resamples)
    return p

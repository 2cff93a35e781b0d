"""Tests these networks on new photographs: only photographs are random. Suited to choosing one trained model over another.

It says nothing about the methods behind the networks: other seeds would make other networks (see `crossed`). For few photographs
means are bootstrapped and differences tested by flipping signs; for many, Student's t gives the same result much faster.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from analysis.statistics.crossed import LEVEL

RESAMPLES = 10_000
FEW = 100  # photographs
BATCH = 500  # resamples held in memory at once

Columns = Float[np.ndarray, "photographs k"]


@dataclass(frozen=True)
class OfTheseRuns:
    """For each column of differences: the 95 % interval of its mean, and the two-sided p-value."""

    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    p: Float[np.ndarray, " k"]


def test(d: Columns, resamples: int = RESAMPLES, seed: int = 0) -> OfTheseRuns:
    """Judges each photograph's differences (means over seeds), one column per pair of arms; NaN if a pair lacks the photograph."""
    enough = np.isfinite(d).sum(axis=0) >= 2  # one photograph says nothing about others
    low = np.full(d.shape[1], np.nan)
    high = np.full(d.shape[1], np.nan)
    p = np.ones(d.shape[1])
    if enough.any():
        low[enough], high[enough] = interval(d[:, enough], resamples, seed)
        p[enough] = p_value(d[:, enough], resamples, seed)
    return OfTheseRuns(low, high, p)


def interval(
    d: Columns, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The 95 % interval of each column's mean: percentiles of the bootstrap (Efron & Tibshirani 1993, §13.3), or Student's t."""
    if len(d) <= FEW:
        bootstrap = stats.bootstrap(
            (d,),
            np.nanmean,
            axis=0,
            n_resamples=resamples,
            batch=BATCH,
            method="percentile",
            rng=seed,
        )
        return bootstrap.confidence_interval.low, bootstrap.confidence_interval.high
    n = np.isfinite(d).sum(axis=0)
    mean = np.nanmean(d, axis=0)
    half = stats.t.ppf(1 - LEVEL / 2, n - 1) * np.nanstd(d, axis=0, ddof=1) / np.sqrt(n)
    return mean - half, mean + half


def p_value(d: Columns, resamples: int = RESAMPLES, seed: int = 0) -> Float[np.ndarray, " k"]:
    """Two-sided p-value of the hypothesis that each photograph's difference has either sign with equal chance (Fisher 1935).

    Signs are flipped: all patterns for up to 13 photographs, random ones above. For many photographs it is the paired t-test.
    """
    if len(d) > FEW:
        p = stats.ttest_1samp(d, 0, nan_policy="omit").pvalue
        return np.where(np.isfinite(p), p, 1.0)  # NaN comes from columns of zeros
    flipped = stats.permutation_test(
        (np.nan_to_num(d),),
        np.sum,
        permutation_type="samples",
        axis=0,
        n_resamples=resamples,
        batch=BATCH,
        rng=seed,
    )
    return np.asarray(flipped.pvalue)

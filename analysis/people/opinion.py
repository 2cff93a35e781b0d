"""Opinion scores: what raters' bias and inconsistency do to them (ITU-T P.913), and which raters to screen (ITU-R BT.500)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

ITERATIONS = 1000
TOLERANCE = 1e-8
SMALLEST = 0.25  # of the median inconsistency


@dataclass(frozen=True)
class P913:
    """The model of ITU-T P.913 §12.6: score = quality of the stimulus + bias of the rater + noise of the rater.

    Args:
        mos: quality of each stimulus, with the biases taken out and consistent raters weighted more.
        mos_error: its standard error.
        bias: of each rater, around zero.
        inconsistency: standard deviation of each rater's noise.
    """

    mos: Float[np.ndarray, " stimuli"]
    mos_error: Float[np.ndarray, " stimuli"]
    bias: Float[np.ndarray, " raters"]
    inconsistency: Float[np.ndarray, " raters"]


def p913(scores: pd.DataFrame | Float[np.ndarray, "stimuli raters"]) -> P913:
    """Fits the model by alternating projection (Li & Bampis 2017; P.913 §12.6), as in Netflix' reference implementation.

    Args:
        scores: of stimuli (rows) by raters (columns), NaN where a rater did not see a stimulus.
    """
    x = np.asarray(scores, dtype=float)
    mos = np.nanmean(x, axis=1)
    bias = np.nanmean(x - mos[:, None], axis=0)
    for _ in range(ITERATIONS):
        before = mos
        inconsistency = np.nanstd(x - mos[:, None] - bias[None], axis=0)
        # the likelihood has no bound: without a floor one rater's scores can become the quality itself
        floor = max(SMALLEST * float(np.median(inconsistency)), 1e-3)
        weight = np.where(np.isnan(x), 0.0, 1 / np.maximum(inconsistency, floor)[None] ** 2)
        total = weight.sum(axis=1)
        mos = np.nansum(weight * np.nan_to_num(x - bias[None]), axis=1) / total
        bias = np.nanmean(x - mos[:, None], axis=0)
        bias = bias - bias.mean()  # only differences between raters' biases are known
        if np.linalg.norm(mos - before) < TOLERANCE:
            break
    return P913(mos, 1 / np.sqrt(total), bias, inconsistency)


def bt500_rejects(scores: pd.DataFrame) -> set[object]:
    """The raters whom ITU-R BT.500-15 (annex 1, §2.3.1) screens: whose scores are often far above and below those of the others.

    A score is far if it is 2 standard deviations from its stimulus' mean where the scores are about normal (kurtosis 2 to 4), and
    √20 otherwise. A rater goes if more than 5 % of the scores are far, about as often above as below.

    Args:
        scores: of stimuli (rows) by raters (columns), NaN where a rater did not see a stimulus.
    """
    x = scores.to_numpy(dtype=float)
    centred = x - np.nanmean(x, axis=1, keepdims=True)
    far = _far(centred)
    above = (centred >= far).sum(axis=0)
    below = (centred <= -far).sum(axis=0)
    seen = np.isfinite(x).sum(axis=0)
    often = (above + below) / np.maximum(seen, 1) > 0.05
    even = np.abs(above - below) / np.maximum(above + below, 1) < 0.3
    return {rater for rater, goes in zip(scores.columns, often & even, strict=True) if goes}


def _far(centred: Float[np.ndarray, "stimuli raters"]) -> Float[np.ndarray, "stimuli 1"]:
    """The distance from which a score is far from its stimulus' mean; infinite where all agree."""
    # the deviation is over N, as in the reference implementation; the text of BT.500 has N - 1
    m2 = np.nanmean(centred**2, axis=1, keepdims=True)
    m4 = np.nanmean(centred**4, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis = m4 / m2**2
    is_normal = (kurtosis >= 2) & (kurtosis <= 4)
    deviations = np.where(is_normal, 2.0, np.sqrt(20))
    return np.where(m2 > 0, deviations * np.sqrt(m2), np.inf)

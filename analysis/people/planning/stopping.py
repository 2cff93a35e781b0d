"""Looking after every answer: intervals that hold at all times at once, so that a study may stop as soon as it is decided.

A confidence sequence by the normal mixture (Robbins 1970; Howard et al. 2021, eq. 3.7; asymptotic as in Waudby-Smith et al. 2024),
with the variance clustered by rater, photograph and seed.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import logsumexp

from analysis.people.clustered import CLUSTERED, fit
from analysis.people.design import TestName
from analysis.people.rates import judged_trials
from analysis.statistics.crossed import LEVEL

SCALES = (1.0, 4.0)
GO_ON = "go on"
FEWEST_RATERS = 8  # before that, a clustered variance is too uncertain to decide anything


@dataclass(frozen=True)
class Standing:
    """What one look says about two arms."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    state: str


def standings(answers: pd.DataFrame, test: TestName, difference: float) -> list[Standing]:
    """Every pair of arms now; over all looks and all pairs together, a wrong decision has a probability of at most 5 %.

    Args:
        difference: the smallest that matters; a pair is settled too when its interval lies within it on both sides.
    """
    table = judged_trials(answers, test)
    arms = sorted(table["arm"].unique())
    fitted = fit(table, arms, effects=True)
    pairs = list(combinations(range(len(arms)), 2))
    estimates = []
    for i, j in (
        pairs if fitted.method == CLUSTERED and table["rater"].nunique() >= FEWEST_RATERS else ()
    ):
        contrast = np.eye(len(arms))[i] - np.eye(len(arms))[j]
        if fitted.can_estimate(contrast):
            estimate = float(contrast @ fitted.means)
            half = half_width(*fitted.error(contrast), difference, LEVEL / len(pairs))
            state = _state(estimate - half, estimate + half, difference)
            estimates.append(
                Standing(arms[i], arms[j], estimate, estimate - half, estimate + half, state)
            )
    return estimates


def half_width(error: float, df: float, difference: float, level: float = LEVEL) -> float:
    """Half the width of the interval that holds at all looks.

    With V = error², widened for few degrees of freedom, an estimate x has left 0 when the mixture over ρ in `SCALES` x `difference`
    of √(V / (V + ρ²)) exp(x² ρ² / (2 V (V + ρ²))) reaches 1/α. The small ρ is for the end of the study, the large one for its
    beginning.
    """
    if error <= 0:
        return float("inf")  # all answers agree: how sure that is, nobody can say yet
    widened = error * float(
        stats.t.ppf(1 - level / 2, max(df, 1.0)) / stats.norm.ppf(1 - level / 2)
    )
    v = widened**2
    rho2 = (np.array(SCALES) * difference) ** 2
    # of each ρ alone
    one = np.sqrt(
        v * (v + rho2) / rho2 * (2 * np.log(len(SCALES) / level) + np.log((v + rho2) / v))
    )

    def beyond(x: float) -> float:
        exponent = x**2 * rho2 / (2 * v * (v + rho2)) + np.log(v / (v + rho2)) / 2
        return float(logsumexp(exponent) - np.log(len(SCALES) / level))

    return float(brentq(beyond, 0.0, one.min()))


def _state(low: float, high: float, difference: float) -> str:
    if low > 0 or high < 0:
        return "different"
    if -difference < low and high < difference:
        return "no difference that matters"
    return GO_ON

"""One criterion for `plan`, `status` and `tables`: when two arms are told apart, looking as often as one likes.

A study plans a number of raters. The look at that number takes four of the five per cent of error that a study may make, as a
fixed design would; all looks before it share the last one by intervals that hold at all times at once, so that a study may stop as
soon as it is decided: a confidence sequence by the normal mixture (Robbins 1970; Howard et al. 2021, eq. 3.7; asymptotic as in
Waudby-Smith et al. 2024). Without a plan every look is such a look, and they have all five. The variance is clustered by rater,
photograph and seed; only raters count whom the rules keep.

There is one look at the planned number: later raters do not change it, for looking again with all four per cent would be another
chance of being wrong. Sheets are looked at once, when they are collected, however many came back.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import logsumexp

from analysis.people.clustered import CLUSTERED, fit
from analysis.people.design import TRUTH, TestName
from analysis.people.rates import judged_trials, kept, t_test
from analysis.statistics.crossed import LEVEL
from analysis.statistics.differences import holm

SCALES = (1.0, 4.0)
# α of the look at the planned number of raters; the looks before it have the rest
AT_THE_END = 0.04
DIFFERENT = "different"
ALIKE = "no difference that matters"
GO_ON = "go on"
NOT_SETTLED = "not settled"
FEWEST_RATERS = 8  # before that, a clustered variance is too uncertain to decide anything


@dataclass(frozen=True)
class Standing:
    """What a look says about two arms. The interval holds for all pairs together."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    state: str


@dataclass(frozen=True)
class _Contrast:
    """A difference of two arms with its error and degrees of freedom."""

    first: str
    second: str
    estimate: float
    error: float
    df: float


@dataclass(frozen=True)
class Plan:
    """When the last look is.

    Args:
        raters: the planned number; 0 where none was planned.
        trials: of a block: a rater counts towards the number with so many answers.
        is_last: whether this look is the last one anyway, as of sheets that were collected.
    """

    raters: int = 0
    trials: int = 1
    is_last: bool = False


NO_PLAN = Plan()


def standings(
    answers: pd.DataFrame, test: TestName, difference: float, plan: Plan = NO_PLAN
) -> list[Standing]:
    """Every pair of arms now; over all looks and all pairs together, a wrong decision has a probability of at most 5 %.

    Empty where too few raters have answered to decide anything.

    Args:
        difference: the smallest that matters; a pair is settled too when its interval lies within it on both sides.
        plan: when the last look is.
    """
    left = kept(answers, test)
    at_the_end = _at_the_planned_number(left, plan)
    if at_the_end is not None:
        left = at_the_end
    if not (left["kind"] == "test").any() or left["rater"].nunique() < FEWEST_RATERS:
        return []
    contrasts, pairs = _contrasts(left, test)
    if at_the_end is not None:
        return _final(contrasts, pairs, difference)
    level = (LEVEL - AT_THE_END if plan.raters else LEVEL) / max(1, pairs)
    return [_early(contrast, difference, level) for contrast in contrasts]


def _at_the_planned_number(left: pd.DataFrame, plan: Plan) -> pd.DataFrame | None:
    """The answers of the last look, which later raters and blocks do not change; None before it."""
    if plan.is_last:
        return left
    if not plan.raters:
        return None
    first_block = left[left["block"] == 1] if "block" in left else left
    asked = first_block[first_block["kind"] != "practice"]
    counts = asked.groupby("rater", sort=False).size()
    finished = list(counts[counts >= plan.trials].index)
    if len(finished) < plan.raters:
        return None
    if "time" in asked:
        ended = asked.groupby("rater")["time"].max()
        finished.sort(key=lambda rater: ended[rater])
    return first_block[first_block["rater"].isin(finished[: plan.raters])]


def as_table(looks: Sequence[Standing]) -> pd.DataFrame:
    """The verdicts as a table."""
    rows = [asdict(look) for look in looks]
    columns = ["first", "second", "difference", "low", "high", "state"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"state": "verdict"})


def is_settled(looks: Sequence[Standing]) -> bool:
    """Whether nothing is left to decide."""
    return bool(looks) and all(look.state in (DIFFERENT, ALIKE) for look in looks)


def _contrasts(answers: pd.DataFrame, test: TestName) -> tuple[list[_Contrast], int]:
    """The pairs of arms whose difference can be estimated, and the number of all pairs."""
    table = judged_trials(answers, test)
    # the truth helps to know raters and photographs, and is no arm to be told apart
    arms = sorted(table["arm"].unique(), key=lambda arm: (arm == TRUTH, arm))
    fitted = fit(table, arms, effects=True)
    pairs = list(combinations([n for n, arm in enumerate(arms) if arm != TRUTH], 2))
    contrasts = []
    for i, j in pairs if fitted.method == CLUSTERED else ():
        contrast = np.eye(len(arms))[i] - np.eye(len(arms))[j]
        if fitted.can_estimate(contrast):
            error, df = fitted.error(contrast)
            estimate = float(contrast @ fitted.means)
            contrasts.append(_Contrast(arms[i], arms[j], estimate, error, df))
    return contrasts, len(pairs)


def _early(contrast: _Contrast, difference: float, level: float) -> Standing:
    half = half_width(contrast.error, contrast.df, difference, level)
    low = contrast.estimate - half
    high = contrast.estimate + half
    state = GO_ON
    if low > 0 or high < 0:
        state = DIFFERENT
    elif -difference < low and high < difference:
        state = ALIKE
    return Standing(contrast.first, contrast.second, contrast.estimate, low, high, state)


def _final(contrasts: Sequence[_Contrast], pairs: int, difference: float) -> list[Standing]:
    p_values = [t_test(one.estimate, one.error, one.df)["p"] for one in contrasts]
    looks = []
    for contrast, p in zip(contrasts, holm(p_values), strict=True):
        quantile = float(stats.t.ppf(1 - AT_THE_END / pairs / 2, contrast.df))
        low = contrast.estimate - quantile * contrast.error
        high = contrast.estimate + quantile * contrast.error
        state = NOT_SETTLED
        if p < AT_THE_END:
            state = DIFFERENT
        elif -difference < low and high < difference:
            state = ALIKE
        looks.append(Standing(contrast.first, contrast.second, contrast.estimate, low, high, state))
    return looks


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

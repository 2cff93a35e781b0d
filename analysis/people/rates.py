"""Results by arm and by rater, with intervals that generalise to other raters, other photographs and other seeds."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.people import opinion
from analysis.people.clustered import CLUSTERED, Fit, fit
from analysis.people.design import TRUTH, TestName, right_answer
from analysis.statistics.crossed import LEVEL
from analysis.statistics.differences import holm
from common.errors import ColourbenchError

# a rater must answer more vigilance trials rightly than chance does in 95 % of cases; fixed before any answer
BY_CHANCE = 0.05
# how often a random answer to a vigilance trial is right
CHANCE: dict[TestName, float] = {
    "pair": 1 / 2,
    "single": 1 / 2,
    "opinion": 2 / 5,
    "preference": 1 / 3,
}
# from so many answers on, one and the same throughout is no judgement
FEWEST_ALIKE = 12
LIMITS: dict[TestName, tuple[float, float]] = {
    "pair": (0, 1),
    "single": (0, 1),
    "opinion": (1, 5),
    "preference": (0, 1),
}
# the session of answers from sheets: a returned file's name may hold a person's
SHEET = "sheet"
NOT_PASSED = "not passed"  # a check of colour vision or screen before the first trial
# a median reaction below this is no judgement: seeing and pressing alone take longer
QUICK_MS = 200.0


def scored(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """Adds `value`.

    In a pair it is 1 if the rater took the coloured photograph for the real one, else 0; alone, 1 if the rater called it real; in
    a preference 1 if `arm` was preferred to `other`, 1/2 for no difference, else 0; otherwise the score from 1 to 5.
    """
    if test == "pair":
        return answers.assign(value=(answers["response"] != answers["side"]).astype(float))
    if test == "single":
        return answers.assign(value=(answers["response"] == "real").astype(float))
    if test == "preference":
        preferred = (answers["response"] == answers["side"]).astype(float)
        return answers.assign(value=preferred.where(answers["response"] != "equal", 0.5))
    return answers.assign(value=answers["response"].astype(float))


def by_arm(answers: pd.DataFrame, test: TestName, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Mean by arm with its 95 % interval: the fooling rate (0.5 is perfect in a pair test), or the mean opinion score.

    Alone, the rate of the truth is the share of real photographs that were called real.

    Args:
        fixed: arms without seeds, such as another program's.

    Raises:
        ColourbenchError: no test trial has an answer yet.
    """
    table = judged_trials(answers, test)
    arms = sorted(table["arm"].unique(), key=lambda arm: (arm == TRUTH, arm))
    fitted = fit(table, arms, effects=False)
    rows = []
    for number, arm in enumerate(arms):
        values = table.loc[table["arm"] == arm, "value"]
        low, high = np.clip(_arm_interval(fitted, number, values), *LIMITS[test])
        name = "mos" if test == "opinion" else "fooling_rate"
        method = fitted.method + _of_seeds(fitted, [arm], fixed)
        rows.append(
            {
                "arm": arm,
                name: values.mean(),
                "low": low,
                "high": high,
                "trials": len(values),
                "interval": method,
            }
        )
    return pd.DataFrame(rows)


def pairs(answers: pd.DataFrame, test: TestName, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Differences between arms, adjusted for raters and photographs, with p-values and Holm's correction.

    Empty for fewer than two raters; a pair is left out if the returned answers confound its arms with the photographs.

    Args:
        fixed: arms without seeds, such as another program's.
    """
    table = judged_trials(answers, test)
    arms = sorted(table["arm"].unique())
    fitted = fit(table, arms, effects=True)
    rows = []
    for i, j in combinations(range(len(arms)), 2) if fitted.method == CLUSTERED else ():
        contrast = np.eye(len(arms))[i] - np.eye(len(arms))[j]
        if not fitted.can_estimate(contrast):
            continue
        estimate, (error, df) = float(contrast @ fitted.means), fitted.error(contrast)
        counted = fitted.method + _of_seeds(fitted, [arms[i], arms[j]], fixed)
        rows.append(
            {
                "first": arms[i],
                "second": arms[j],
                **t_test(estimate, error, df),
                "interval": counted,
            }
        )
    frame = pd.DataFrame(
        rows, columns=["first", "second", "difference", "low", "high", "p", "interval"]
    )
    return frame.assign(p_holm=holm(frame["p"].tolist()))


def t_test(estimate: float, error: float, df: float) -> dict[str, float]:
    """An estimate with its 95 % interval and its p-value, from Student's t."""
    reach = float(stats.t.ppf(1 - LEVEL / 2, df)) * error
    p = 2 * float(stats.t.sf(abs(estimate) / error, df)) if error > 0 else 1.0
    return {"difference": estimate, "low": estimate - reach, "high": estimate + reach, "p": p}


def judged_trials(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """The scored test trials, without practice, vigilance and repeats.

    Raises:
        ColourbenchError: there is none.
    """
    table = scored(answers, test)
    table = table[table["kind"] == "test"]
    if table.empty:
        raise ColourbenchError("no test trial is answered yet, only control trials")
    return table


def raters(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """The attention of each rater, and whether the rules that were fixed before reject the rater, with the reason.

    `vigilance_right` is the share of vigilance trials answered rightly, `repeats_alike` of repeats answered as the first time.
    """
    rows = []
    screened = opinion.bt500_rejects(_matrix(answers, test)) if test == "opinion" else set()
    for rater, trials in scored(answers, test).groupby("rater"):
        watched = trials[trials["kind"] == "vigilance"]
        right = _right(watched, test)
        quick = trials["reaction_ms"].median() if "reaction_ms" in trials else np.nan
        reason = _reason(trials, int(right.sum()), len(right), CHANCE[test])
        if not reason and rater in screened:
            reason = "screened by ITU-R BT.500"
        rows.append(
            {
                "rater": rater,
                "answers": len(trials),
                "vigilance_right": right.mean() if len(right) else np.nan,
                "repeats_alike": _alike(trials, test),
                "median_reaction_ms": quick,
                "rejected": reason,
            }
        )
    return pd.DataFrame(rows)


def _reason(trials: pd.DataFrame, right: int, watched: int, chance: float) -> str:
    """Why a rater's answers are left out; empty if they are kept."""
    if "rejected" in trials and trials["rejected"].fillna("").iloc[0]:
        return f"by the study's owner: {trials['rejected'].iloc[0]}"
    if right < rightly_needed(watched, chance):
        return f"{right} of {watched} vigilance trials are right, as chance might have it"
    counted = trials[trials["kind"] != "practice"]
    if len(counted) >= FEWEST_ALIKE and counted["response"].nunique() == 1:
        return "one and the same answer to every question"
    if "reaction_ms" in trials and trials["reaction_ms"].median() < QUICK_MS:
        return f"answers within {QUICK_MS:.0f} ms"
    if "fetches" in trials and (trials["fetches"] == 0).any() and not _is_of_a_sheet(trials):
        return "answers about pictures that were never fetched"
    if "screen" in trials and any(_is_not_passed(checks) for checks in trials["screen"]):
        return "a check of colour vision or screen is not passed"
    return ""


def _is_not_passed(checks: object) -> bool:
    """Whether a check of the screen failed, told as text or as the store keeps it: by its parts."""
    return checks == NOT_PASSED or (isinstance(checks, dict) and not all(checks.values()))


def _is_of_a_sheet(trials: pd.DataFrame) -> bool:
    """Whether answers were written into a sheet: then nobody counted who looked at a picture."""
    return "session" in trials and bool((trials["session"] == SHEET).all())


def rightly_needed(watched: int, chance: float) -> int:
    """How many of the vigilance trials must be right: the fewest that chance reaches in at most 5 % of cases, or else all."""
    for right in range(watched + 1):
        if stats.binom.sf(right - 1, watched, chance) <= BY_CHANCE:
            return right
    return watched


def kept(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """The answers of the raters whom no rule rejects."""
    judged_raters = raters(answers, test)
    good = judged_raters.loc[judged_raters["rejected"] == "", "rater"]
    return answers[answers["rater"].isin(good)]


def _right(trials: pd.DataFrame, test: TestName) -> pd.Series:
    """Whether each vigilance trial is answered rightly; in opinions, random colours must be poor or bad."""
    if test == "opinion":
        return trials["value"] <= 2
    others = trials["other"].fillna("") if "other" in trials else [""] * len(trials)
    sides = trials["side"].fillna("")
    right = [right_answer(*shown) for shown in zip(trials["arm"], sides, others, strict=True)]
    return trials["response"] == right


def _alike(trials: pd.DataFrame, test: TestName) -> float:
    """The share of repeats that were answered as the first time, whichever side was which."""
    shown = ["image", "arm"]  # one photograph may be shown in several arms
    if "other" in trials:
        shown.append("other")
    repeats = trials[trials["kind"] == "repeat"]
    if repeats.empty:
        return float("nan")
    first = trials[trials["kind"] == "test"].drop_duplicates(shown)
    earlier = (
        repeats[shown]
        .merge(first[[*shown, "value"]], on=shown, how="left")["value"]
        .to_numpy(dtype=float)
    )
    both = ~np.isnan(earlier)
    return (
        float((earlier[both] == repeats["value"].to_numpy()[both]).mean())
        if both.any()
        else float("nan")
    )


def _matrix(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """Scores of stimuli (a photograph in an arm) by rater."""
    table = judged_trials(answers, test)
    return table.pivot_table(
        index=["image", "arm"], columns="rater", values="value", aggfunc="mean"
    )


def _arm_interval(fitted: Fit, number: int, values: pd.Series) -> tuple[float, float]:
    error, df = (
        fitted.error(np.eye(len(fitted.means))[number])
        if fitted.method == CLUSTERED
        else (0.0, 0.0)
    )
    if error > 0 and values.nunique() > 1:
        estimate = t_test(float(fitted.means[number]), error, df)
        return estimate["low"], estimate["high"]
    if set(values.unique()) <= {0.0, 1.0}:
        low, high = proportion_confint(values.sum(), len(values), method="wilson")
        return float(low), float(high)
    if len(values) < 2:
        return float("nan"), float("nan")
    estimate = t_test(
        float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1
    )
    return estimate["low"], estimate["high"]


def _of_seeds(fitted: Fit, arms: Sequence[str], fixed: Sequence[str]) -> str:
    """What is said of the seeds behind an interval."""
    counts = [fitted.seeds[arm] for arm in arms if arm not in (*fixed, TRUTH)]
    if fitted.method != CLUSTERED or not counts:
        return ""
    return " and by seed" if min(counts) > 1 else "; one seed says nothing about a method"

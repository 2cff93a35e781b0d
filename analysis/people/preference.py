"""The Bradley-Terry model with ties (Davidson 1970), with errors that count raters, photographs and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.people.clustered import CLUSTERED, Clusters, photographs
from analysis.people.rates import judged_trials, t_test
from analysis.statistics.differences import holm

STEPS = 100
TOLERANCE = 1e-10
APART = 10.0
# arms whose worths run this far apart were never beaten by, or never beat, one another
FARTHEST = 24.0


@dataclass(frozen=True)
class Preferences:
    """Worths λ of the arms on the logit scale, summing to zero: P(i preferred to j) = e^λi / (e^λi + e^λj + ν e^((λi + λj)/2)).

    Args:
        tie: log ν; minus infinity if no answer was "no difference".
        influence: of each trial on the worths.
        known: projection on what the answers tell: arms that were never linked by answers have no difference.
        model: the covariance if all trials were independent.
    """

    arms: list[str]
    worth: Float[np.ndarray, " arms"]
    tie: float
    influence: Float[np.ndarray, "trials arms"]
    model: Float[np.ndarray, "arms arms"]
    known: Float[np.ndarray, "arms arms"]

    @property
    def separated(self) -> Bool[np.ndarray, " arms"]:
        """Which arms always won or always lost against the others, so that their worth is not finite."""
        order = np.argsort(self.worth)
        groups = np.empty(len(order), int)
        groups[order] = np.concatenate([[0], np.cumsum(np.diff(self.worth[order]) > APART)])
        sizes = np.bincount(groups)
        largest = sizes.argmax() if (sizes == sizes.max()).sum() == 1 else -1
        apart: np.ndarray = (groups != largest) & (len(sizes) > 1)
        return apart

    def can_estimate(self, contrast: Float[np.ndarray, " arms"]) -> bool:
        """Whether the answers tell this contrast, and all its worths are finite."""
        told = np.allclose(contrast @ self.known, contrast, atol=1e-6)
        return bool(told and not self.separated[np.abs(contrast) > 1e-9].any())


def fit(arm: Sequence[str], other: Sequence[str], value: Sequence[float]) -> Preferences:
    """Fits the model by Newton's method, as a conditional logit over won, lost and tied.

    Args:
        value: 1 if `arm` was preferred, 0 if `other` was, 1/2 for a tie.
    """
    arms = sorted({*arm, *other})
    k = len(arms)
    X = _utilities(_positions(arms, arm), _positions(arms, other), k)
    y = np.asarray(value, dtype=float)
    chosen = np.stack([y == 1, y == 0, y == 0.5], axis=1).astype(float)
    has_ties = bool(chosen[:, 2].any())
    if not has_ties:
        X = X[:, :2, :k]
        chosen = chosen[:, :2]
    beta = _most_likely(X, chosen)
    score, information = _derivatives(X, chosen, beta)
    inverse = np.linalg.pinv(information, rcond=1e-9)
    tie = float(beta[k]) if has_ties else float("-inf")
    return _preferences(arms, beta, tie, score @ inverse, inverse, inverse @ information)


def _preferences(
    arms: list[str],
    beta: np.ndarray,
    tie: float,
    influence: np.ndarray,
    inverse: np.ndarray,
    known: np.ndarray,
) -> Preferences:
    """The part of the estimates that belongs to the arms, with strengths around 0."""
    k = len(arms)
    strengths = beta[:k] - beta[:k].mean()
    return Preferences(arms, strengths, tie, influence[:, :k], inverse[:k, :k], known[:k, :k])


def _positions(arms: Sequence[str], names: Sequence[str]) -> np.ndarray:
    return np.array([arms.index(name) for name in names])


def _most_likely(X: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The parameters of the greatest likelihood; steps are at most 2, and end where an arm won or lost everything."""
    beta = np.zeros(X.shape[2])
    for _ in range(STEPS):
        score, information = _derivatives(X, chosen, beta)
        step = np.linalg.pinv(information, rcond=1e-9) @ score.sum(axis=0)
        longest = np.abs(step).max()
        beta = beta + step * min(1.0, 2.0 / max(longest, 1e-12))
        if longest < TOLERANCE or np.abs(beta).max() > FARTHEST:
            break
    return beta


def _utilities(
    first: np.ndarray, second: np.ndarray, k: int
) -> Float[np.ndarray, "trials 3 parameters"]:
    """What each outcome's utility is made of: λi for won, λj for lost, log ν + (λi + λj)/2 for tied."""
    one = np.eye(k + 1)
    both = (one[first] + one[second]) / 2
    return np.stack([one[first], one[second], both + one[k]], axis=1)


def _derivatives(
    X: np.ndarray, chosen: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The score of each trial, and the information of all."""
    utility = X @ beta
    p = np.exp(utility - utility.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    centred = X - (p[:, :, None] * X).sum(axis=1, keepdims=True)
    return ((chosen - p)[:, :, None] * X).sum(axis=1), np.einsum(
        "nc,nci,ncj->ij", p, centred, centred
    )


def error(
    fitted: Preferences, table: pd.DataFrame, contrast: Float[np.ndarray, " arms"]
) -> tuple[float, float]:
    """Standard error of a contrast of worths, and its degrees of freedom.

    Clustered by rater, photograph and the seed of either arm, and at least what one answer more or less would change.
    """
    raters = np.asarray(pd.factorize(table["rater"])[0])
    images = np.asarray(pd.factorize(photographs(table["image"]))[0])
    influence = fitted.influence @ contrast
    return Clusters(raters, images, _seeds_by_arm(table)).error(
        influence, float(np.abs(influence).max())
    )


def _seeds_by_arm(
    table: pd.DataFrame,
) -> list[tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " n"]]]:
    """The trials that show an arm on either side, with a number for its seed, of each arm that has several."""
    groups = []
    for arm in sorted({*table["arm"], *table["other"]}):
        first = (table["arm"] == arm).to_numpy()
        shown = first | (table["other"] == arm).to_numpy()
        numbers = np.asarray(
            pd.factorize(np.where(first, table["seed"], table["other_seed"])[shown])[0]
        )
        if numbers.max() > 0:
            groups.append((shown, numbers))
    return groups


def worths(answers: pd.DataFrame, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """The arms in order of worth, with the share of people who would prefer each to an average arm, and 95 % intervals.

    Args:
        fixed: arms without seeds, such as another program's.
    """
    table, fitted = _fitted(answers)
    one = np.eye(len(fitted.arms))
    rows = []
    finite = ~fitted.separated
    average = finite / max(finite.sum(), 1)
    for number, arm in enumerate(fitted.arms):
        worth = float(fitted.worth[number] - average @ fitted.worth)
        estimate = _judged(fitted, table, one[number] - average, worth)
        trials = int(((table["arm"] == arm) | (table["other"] == arm)).sum())
        row = {
            "arm": arm,
            "worth": worth,
            "low": estimate["low"],
            "high": estimate["high"],
            "trials": trials,
        }
        rows.append(
            row
            | {
                "preferred": 1 / (1 + np.exp(-worth)),
                "interval": _note(fitted, table, [arm], fixed),
            }
        )
    return pd.DataFrame(rows).sort_values("worth", ascending=False, ignore_index=True)


def pairs(answers: pd.DataFrame, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Differences of worth, as `tables.pairs` gives them; `difference` is the log odds that `first` is preferred.

    NaN where an arm always won or lost, or where no answers link two arms.
    """
    table, fitted = _fitted(answers)
    one = np.eye(len(fitted.arms))
    rows = []
    for i, j in combinations(range(len(fitted.arms)), 2):
        both = [fitted.arms[i], fitted.arms[j]]
        estimate = _judged(fitted, table, one[i] - one[j], float(fitted.worth[i] - fitted.worth[j]))
        rows.append(
            {
                "first": both[0],
                "second": both[1],
                **estimate,
                "interval": _note(fitted, table, both, fixed),
            }
        )
    frame = pd.DataFrame(
        rows, columns=["first", "second", "difference", "low", "high", "p", "interval"]
    )
    known = frame["p"].notna()
    frame.loc[known, "p_holm"] = holm(frame.loc[known, "p"].tolist())
    return frame.assign(p_holm=frame.get("p_holm", np.nan))


def _judged(
    fitted: Preferences, table: pd.DataFrame, contrast: np.ndarray, estimate: float
) -> dict[str, float]:
    if (
        not fitted.can_estimate(contrast)
        or table["rater"].nunique() < 2
        or table["image"].nunique() < 2
    ):
        return {"difference": estimate, "low": np.nan, "high": np.nan, "p": np.nan}
    return t_test(estimate, *error(fitted, table, contrast))


def _fitted(answers: pd.DataFrame) -> tuple[pd.DataFrame, Preferences]:
    table = judged_trials(answers, "preference")
    return table, fit(table["arm"].tolist(), table["other"].tolist(), table["value"].tolist())


def _note(
    fitted: Preferences, table: pd.DataFrame, arms: Sequence[str], fixed: Sequence[str]
) -> str:
    """What an interval counts, or why there is none."""
    if any(fitted.separated[fitted.arms.index(arm)] for arm in arms):
        return "an arm always won or always lost: its worth is not finite"
    counts = [_seeds(table, arm) for arm in arms if arm not in fixed]
    seeds = (
        ""
        if not counts
        else " and by seed"
        if min(counts) > 1
        else "; one seed says nothing about a method"
    )
    return CLUSTERED + seeds


def _seeds(table: pd.DataFrame, arm: str) -> int:
    shown = [table.loc[table["arm"] == arm, "seed"], table.loc[table["other"] == arm, "other_seed"]]
    return int(pd.concat(shown).nunique())

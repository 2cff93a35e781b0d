"""Answers as one tidy table, and results by arm, with intervals that account for raters and images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.ratings.schedule import TRUTH, Trial
from analysis.ratings.sheets import SCHEMA, Key, read_answers
from analysis.statistics.differences import holm
from common.errors import ColourbenchError

TIDY = (
    "study", "schema", "rater", "session", "trial", "block", "kind", "image", "arm", "seed", "side", "exposure_ms", "response",
    "reaction_ms", "time",
)  # fmt: skip


def collect(files: Sequence[Path], key: Key) -> pd.DataFrame:
    """The answers of all sheets as one tidy table, one row per answered trial; sheets record no times, so those are empty.

    Raises:
        ColourbenchError: a sheet is invalid, or two sheets of one rater contradict each other.
    """
    answers: dict[str, tuple[str, Path]] = {}
    for file in files:
        for code, answer in read_answers(file, key).items():
            if code in answers and answers[code][0] != answer:
                raise ColourbenchError(f"{answers[code][1]} and {file} answer the trial {code} differently; keep one of them")
            answers[code] = (answer, file)
    rows = [_tidy_row(key, trial, *answers[trial.code]) for trial in key.trials if trial.code in answers]
    if not rows:
        raise ColourbenchError("no sheet holds an answer yet")
    return pd.DataFrame(rows, columns=list(TIDY))


def _tidy_row(key: Key, trial: Trial, answer: str, file: Path) -> dict[str, object]:
    hidden = {name: getattr(trial, name) for name in ("rater", "trial", "kind", "image", "arm", "side")}
    context = {"study": key.study, "schema": SCHEMA, "session": file.stem, "block": 1, "seed": key.design.seed}
    return {**context, **hidden, "response": answer}


def scored(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    """Adds `value`: in a pair, 1 if the rater took the coloured photograph for the real one, else 0; otherwise the 1 to 5 score."""
    if test == "pair":
        return answers.assign(value=(answers["response"] != answers["side"]).astype(float))
    return answers.assign(value=answers["response"].astype(float))


def by_arm(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    """Mean by arm with its 95 % interval: the fooling rate of a pair test (0.5 is perfect), or the mean opinion score.

    The interval generalises to other raters and other photographs: errors are clustered by both.

    Raises:
        ColourbenchError: no test trial has an answer yet.
    """
    table = _test_trials(answers, test)
    arms = sorted(table["arm"].unique(), key=lambda arm: (arm == TRUTH, arm))
    fit = _fit(table, arms, effects=False)
    rows = []
    for number, arm in enumerate(arms):
        values = table.loc[table["arm"] == arm, "value"]
        low, high = _arm_interval(fit, number, values)
        name = "fooling_rate" if test == "pair" else "mos"
        rows.append({"arm": arm, name: values.mean(), "low": low, "high": high, "trials": len(values), "interval": fit.method})
    return pd.DataFrame(rows)


def pairs(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    """Differences between arms, adjusted for raters and photographs, with p-values and Holm's correction.

    Empty for fewer than two raters; a pair is left out if the returned sheets confound its arms with the photographs.
    """
    table = _test_trials(answers, test)
    arms = sorted(table["arm"].unique())
    fit = _fit(table, arms, effects=True)
    rows = []
    for i, j in combinations(range(len(arms)), 2) if fit.method == TWO_WAY else ():
        contrast = np.eye(len(arms))[i] - np.eye(len(arms))[j]
        if not fit.can_estimate(contrast):
            continue
        estimate, error = float(contrast @ fit.means), fit.error(contrast)
        reach = stats.t.ppf(0.975, fit.freedom) * error
        p = 2 * stats.t.sf(abs(estimate) / error, fit.freedom) if error > 0 else 1.0
        rows.append(
            {"first": arms[i], "second": arms[j], "difference": estimate, "low": estimate - reach, "high": estimate + reach, "p": p}
        )
    frame = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p"])
    return frame.assign(p_holm=holm(frame["p"].tolist()))


def _test_trials(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    table = scored(answers, test)
    table = table[table["kind"] == "test"]
    if table.empty:
        raise ColourbenchError("no test trial is answered yet, only control trials")
    return table


def vigilance(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    """The attention of each rater: shares of vigilance trials answered correctly, and of repeats answered the same way."""
    rows = []
    for rater, trials in scored(answers, test).groupby("rater"):
        watch, repeats = trials[trials["kind"] == "vigilance"], trials[trials["kind"] == "repeat"]
        first = trials[trials["kind"] == "test"].set_index("image")["value"]
        earlier = first.reindex(repeats["image"]).to_numpy()
        both = ~np.isnan(earlier)
        same = (earlier[both] == repeats["value"].to_numpy()[both]).mean() if both.any() else np.nan
        right = (watch["value"] == 0).mean() if test == "pair" else (watch["value"] <= 2).mean()
        rows.append(
            {"rater": rater, "answers": len(trials), "vigilance_right": right if len(watch) else np.nan, "repeats_alike": same}
        )
    return pd.DataFrame(rows)


TWO_WAY = "errors clustered by rater and by photograph"
ONE_RATER = "over trials alone; too few raters to count their differences"


@dataclass(frozen=True)
class Fit:
    """Arm means, three covariances of them with different clustering, and which contrasts the design can estimate."""

    means: Float[np.ndarray, " arms"]
    by_rater: Float[np.ndarray, "arms arms"]
    by_image: Float[np.ndarray, "arms arms"]
    by_both: Float[np.ndarray, "arms arms"]
    freedom: int
    method: str
    projection: Float[np.ndarray, "arms columns"]  # rows of X⁺X: the identity if every contrast can be estimated

    def can_estimate(self, contrast: Float[np.ndarray, " arms"]) -> bool:
        """Whether the contrast of arms can be separated from rater and photograph effects."""
        padded = np.concatenate([contrast, np.zeros(self.projection.shape[1] - len(contrast))])
        return bool(np.allclose(contrast @ self.projection, padded, atol=1e-8))

    def error(self, contrast: Float[np.ndarray, " arms"]) -> float:
        """Standard error of a contrast of arms: two-way clustered, and no smaller than either one-way error."""
        rater, image, both = (contrast @ matrix @ contrast for matrix in (self.by_rater, self.by_image, self.by_both))
        return float(np.sqrt(max(rater + image - both, rater, image, 0.0)))


def _fit(table: pd.DataFrame, arms: Sequence[str], effects: bool) -> Fit:
    """y = arm, or arm + rater + photograph, by least squares; t with min(raters, photographs) - 1 degrees of freedom.

    Source: Cameron, Gelbach & Miller 2011, with the variance no smaller than either one-way one.
    """
    y = table["value"].to_numpy(float)
    raters, images = pd.factorize(table["rater"])[0], pd.factorize(table["image"])[0]
    indicator = (table["arm"].to_numpy()[:, None] == np.asarray(arms)[None]).astype(float)
    enough = raters.max() > 0 and images.max() > 0
    X = np.hstack([indicator, _effects(raters), _effects(images)]) if effects and enough else indicator
    bread = np.linalg.pinv(X.T @ X)
    beta = bread @ X.T @ y
    k = len(arms)
    if not enough or len(y) <= np.linalg.matrix_rank(X):
        nothing = np.zeros((k, k))
        return Fit(beta[:k], nothing, nothing, nothing, 1, ONE_RATER, np.eye(k))
    cells = raters * (images.max() + 1) + images
    by_rater, by_image, by_both = (_clustered(X, y - X @ beta, groups, bread)[:k, :k] for groups in (raters, images, cells))
    projection = (bread @ X.T @ X)[:k]
    return Fit(beta[:k], by_rater, by_image, by_both, int(min(raters.max(), images.max())), TWO_WAY, projection)


def _arm_interval(fit: Fit, number: int, values: pd.Series) -> tuple[float, float]:
    if fit.method == TWO_WAY:
        reach = stats.t.ppf(0.975, fit.freedom) * fit.error(np.eye(len(fit.means))[number])
        return float(fit.means[number] - reach), float(fit.means[number] + reach)
    if set(values.unique()) <= {0.0, 1.0}:
        low, high = proportion_confint(values.sum(), len(values), method="wilson")
        return float(low), float(high)
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def _effects(groups: np.ndarray) -> Float[np.ndarray, "n g"]:
    """Effect coding: columns sum to zero over groups, so that arm coefficients are means over raters and images."""
    count = groups.max() + 1
    codes = np.vstack([np.eye(count - 1), -np.ones((1, count - 1))])
    return np.asarray(codes[groups])


def _clustered(X: np.ndarray, residuals: np.ndarray, groups: np.ndarray, bread: np.ndarray) -> np.ndarray:
    """The cluster-robust covariance of the coefficients, with G / (G - 1) for G clusters."""
    numbers = pd.factorize(groups)[0]
    count = numbers.max() + 1
    sums = np.zeros((count, X.shape[1]))
    np.add.at(sums, numbers, X * residuals[:, None])
    covariance: np.ndarray = bread @ (sums.T @ sums) @ bread * (count / max(count - 1, 1))
    return covariance

"""Answers as one tidy table, and results by arm, with intervals that account for raters and images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
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
    hidden = {name: getattr(trial, name) for name in ("rater", "trial", "kind", "image", "arm", "side", "seed")}
    context = {"study": key.study, "schema": SCHEMA, "session": file.stem, "block": 1}
    return {**context, **hidden, "response": answer}


def scored(answers: pd.DataFrame, test: str) -> pd.DataFrame:
    """Adds `value`: in a pair, 1 if the rater took the coloured photograph for the real one, else 0; otherwise the 1 to 5 score."""
    if test == "pair":
        return answers.assign(value=(answers["response"] != answers["side"]).astype(float))
    return answers.assign(value=answers["response"].astype(float))


def by_arm(answers: pd.DataFrame, test: str, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Mean by arm with its 95 % interval: the fooling rate of a pair test (0.5 is perfect), or the mean opinion score.

    The interval generalises to other raters, other photographs and other seeds of the arm: errors are clustered by all three.

    Args:
        fixed: arms without seeds, such as another program's.

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
        name, method = "fooling_rate" if test == "pair" else "mos", fit.method + _of_seeds(fit, [arm], fixed)
        rows.append({"arm": arm, name: values.mean(), "low": low, "high": high, "trials": len(values), "interval": method})
    return pd.DataFrame(rows)


def pairs(answers: pd.DataFrame, test: str, fixed: Sequence[str] = ()) -> pd.DataFrame:
    """Differences between arms, adjusted for raters and photographs, with p-values and Holm's correction.

    Empty for fewer than two raters; a pair is left out if the returned sheets confound its arms with the photographs.

    Args:
        fixed: arms without seeds, such as another program's.
    """
    table = _test_trials(answers, test)
    arms = sorted(table["arm"].unique())
    fit = _fit(table, arms, effects=True)
    rows = []
    for i, j in combinations(range(len(arms)), 2) if fit.method == CLUSTERED else ():
        contrast = np.eye(len(arms))[i] - np.eye(len(arms))[j]
        if not fit.can_estimate(contrast):
            continue
        estimate, (error, df) = float(contrast @ fit.means), fit.error(contrast)
        reach = stats.t.ppf(0.975, df) * error
        p = 2 * stats.t.sf(abs(estimate) / error, df) if error > 0 else 1.0
        interval = {"low": estimate - reach, "high": estimate + reach, "p": p}
        counted = fit.method + _of_seeds(fit, [arms[i], arms[j]], fixed)
        rows.append({"first": arms[i], "second": arms[j], "difference": estimate, **interval, "interval": counted})
    frame = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p", "interval"])
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


CLUSTERED = "errors clustered by rater and by photograph"
ONE_RATER = "over trials alone; too few raters to count their differences"

Covariance = Float[np.ndarray, "arms arms"]


@dataclass(frozen=True)
class Fit:
    """Arm means, covariances of them with different clustering, and which contrasts the design can estimate."""

    means: Float[np.ndarray, " arms"]
    clustered: dict[str, Covariance]  # by "rater", "image", "seed", and by their products
    df: dict[str, int]  # of raters and of photographs
    seeds: dict[str, int]  # of each arm; 0 where none is known
    method: str
    projection: Float[np.ndarray, "arms columns"]  # rows of X⁺X: the identity if every contrast can be estimated

    def can_estimate(self, contrast: Float[np.ndarray, " arms"]) -> bool:
        """Whether the contrast of arms can be separated from rater and photograph effects."""
        padded = np.concatenate([contrast, np.zeros(self.projection.shape[1] - len(contrast))])
        return bool(np.allclose(contrast @ self.projection, padded, atol=1e-8))

    def error(self, contrast: Float[np.ndarray, " arms"]) -> tuple[float, float]:
        """Standard error of a contrast of arms, and its degrees of freedom.

        Clustered by rater, photograph and seed (Cameron, Gelbach & Miller 2011, §2.3), and no smaller than any one-way error.
        Degrees of freedom are Satterthwaite's, at most those of the raters or of the photographs.
        """
        v = {name: float(contrast @ matrix @ contrast) for name, matrix in self.clustered.items()}
        both = v["rater"] + v["image"] + v["seed"] - v["rater x image"] - v["rater x seed"] - v["image x seed"] + v["trial"]
        variance = max(both, v["rater"], v["image"], v["seed"], 0.0)
        # each arm has its own seeds, whose shares of the variance add up
        shares = [contrast[k] ** 2 * self.clustered["seed"][k, k] for k in range(len(contrast))]
        counts = list(self.seeds.values())
        spent = sum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True) if count > 1)
        spent += v["rater"] ** 2 / self.df["rater"] + v["image"] ** 2 / self.df["image"]
        most = min(self.df.values())
        return float(np.sqrt(variance)), float(min(most, variance**2 / spent)) if spent > 0 else float(most)


def _of_seeds(fit: Fit, arms: Sequence[str], fixed: Sequence[str]) -> str:
    """What is said of the seeds behind an interval."""
    counts = [fit.seeds[arm] for arm in arms if arm not in (*fixed, TRUTH)]
    if fit.method != CLUSTERED or not counts:
        return ""
    return " and by seed" if min(counts) > 1 else "; one seed says nothing about a method"


def _fit(table: pd.DataFrame, arms: Sequence[str], effects: bool) -> Fit:
    """y = arm, or arm + rater + photograph, by least squares."""
    y = table["value"].to_numpy(float)
    raters, images = pd.factorize(table["rater"])[0], pd.factorize(table["image"])[0]
    seeds = _seeds(table)
    counts = {arm: len(np.unique(seeds[table["arm"] == arm])) for arm in arms}
    indicator = (table["arm"].to_numpy()[:, None] == np.asarray(arms)[None]).astype(float)
    enough = raters.max() > 0 and images.max() > 0
    X = np.hstack([indicator, _effects(raters), _effects(images)]) if effects and enough else indicator
    bread = np.linalg.pinv(X.T @ X)
    beta = bread @ X.T @ y
    k = len(arms)
    df = {"rater": int(raters.max()), "image": int(images.max())}
    if not enough or len(y) <= np.linalg.matrix_rank(X):
        return Fit(beta[:k], {}, df, counts, ONE_RATER, np.eye(k))
    scores = X * (y - X @ beta)[:, None] @ bread[:, :k]  # each trial's influence on the arms' means
    clustered = {"rater": _clustered(scores, raters), "image": _clustered(scores, images)}
    clustered["rater x image"] = _clustered(scores, _crossed(raters, images))
    clustered |= _with_seeds(scores, raters, images, seeds, table["arm"].map(counts).to_numpy())
    return Fit(beta[:k], clustered, df, counts, CLUSTERED, (bread @ X.T @ X)[:k])


def _seeds(table: pd.DataFrame) -> Int[np.ndarray, " n"]:
    """A number for each seed of each arm; answers of an older version have none, and count as one seed of their arm."""
    seeds = table["seed"].fillna(-1) if "seed" in table else pd.Series(-1, index=table.index)
    return np.asarray(pd.factorize(table["arm"].astype(str) + " " + seeds.astype(str))[0])


def _crossed(*groups: np.ndarray) -> np.ndarray:
    """A number for each combination of groups."""
    numbers = np.zeros(len(groups[0]), np.int64)
    for group in groups:
        numbers = numbers * (group.max() + 1) + group
    return numbers


def _with_seeds(
    scores: np.ndarray, raters: np.ndarray, images: np.ndarray, seeds: np.ndarray, counts: np.ndarray
) -> dict[str, Covariance]:
    """The covariances that seeds add, over the arms that have several; one seed says nothing about others.

    Seeds are clustered within each arm, with S / (S - 1) for its S seeds.
    """
    several = counts > 1
    rows, r, i, s, count = scores[several], raters[several], images[several], seeds[several], counts[several]
    if not len(rows):
        nothing = np.zeros((scores.shape[1], scores.shape[1]))
        return dict.fromkeys(("seed", "rater x seed", "image x seed", "trial"), nothing)
    groups = {"rater x seed": _crossed(r, s), "image x seed": _crossed(i, s), "trial": _crossed(r, i, s)}
    by_seed = _clustered(rows * np.sqrt(count / (count - 1))[:, None], s) * (1 - 1 / len(np.unique(s)))
    return {"seed": by_seed, **{name: _clustered(rows, numbers) for name, numbers in groups.items()}}


def _arm_interval(fit: Fit, number: int, values: pd.Series) -> tuple[float, float]:
    if fit.method == CLUSTERED:
        error, df = fit.error(np.eye(len(fit.means))[number])
        reach = stats.t.ppf(0.975, df) * error
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


def _clustered(scores: Float[np.ndarray, "n arms"], groups: np.ndarray) -> Covariance:
    """The cluster-robust covariance of the arms' means, with G / (G - 1) for G clusters."""
    numbers = pd.factorize(groups)[0]
    count = numbers.max() + 1
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, numbers, scores)
    covariance: np.ndarray = sums.T @ sums * (count / max(count - 1, 1))
    return covariance

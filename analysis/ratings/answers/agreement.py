"""Whether raters agree with one another, tell real from made, and judge as metrics do."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import evalica
import numpy as np
import pandas as pd
from scipy import stats

from analysis.ratings.answers.clustered import photographs
from analysis.ratings.answers.tables import judged_trials, scored
from analysis.ratings.design import TRUTH, TestName

RESAMPLES = 1000
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff(answers: pd.DataFrame, test: TestName, seed: int = 0) -> dict[str, float]:
    """Krippendorff's α over what several raters saw, with its 95 % interval; NaN where nobody saw the same.

    Opinions are ordinal. Other answers are nominal, over the same photograph, arms and seeds.
    """
    table = judged_trials(answers, test)
    shown = [name for name in ("image", "arm", "seed", "other", "other_seed") if name in table]
    unit = table.groupby(shown, dropna=False).ngroup()
    matrix = table.assign(unit=unit).pivot_table(index="rater", columns="unit", values="value", aggfunc="first")
    matrix = matrix.loc[:, matrix.notna().sum() > 1]
    if matrix.shape[1] < 2 or len(np.unique(matrix.stack().dropna())) < 2:
        return {"alpha": np.nan, "low": np.nan, "high": np.nan, "units": matrix.shape[1]}
    return alpha(matrix, "ordinal" if test == "opinion" else "nominal", seed)


def alpha(matrix: pd.DataFrame, scale: Scale, seed: int = 0) -> dict[str, float]:
    """Krippendorff's α of raters (rows) by units (columns), NaN where a rater did not judge a unit, with its 95 % interval."""
    interval = evalica.alpha_bootstrap(matrix, scale, n_resamples=RESAMPLES, random_state=seed)
    return {"alpha": float(interval.alpha), "low": float(interval.low), "high": float(interval.high), "units": matrix.shape[1]}


def detection(answers: pd.DataFrame) -> pd.DataFrame:
    """How well raters told an arm's photographs from real ones shown alone: share wrong, d′ and bias c by arm.

    d′ = z(H) - z(F) and c = -(z(H) + z(F))/2, with H the share of real ones and F the share of the arm's called real. Each count
    has 0.5 added and each total 1, so that shares of 0 and 1 have a z (Hautus 1995). d′ of 0 is perfect colour.
    """
    table = judged_trials(answers, "single")
    real = table.loc[table["arm"] == TRUTH, "value"]
    rows = []
    for arm, made in table[table["arm"] != TRUTH].groupby("arm")["value"]:
        h, f = (stats.norm.ppf((values.sum() + 0.5) / (len(values) + 1)) for values in (real, made))
        wrong = (made.mean() + 1 - real.mean()) / 2 if len(real) else np.nan
        rows.append({"arm": arm, "share_wrong": wrong, "d_prime": h - f, "bias": -(h + f) / 2, "trials": len(made)})
    return pd.DataFrame(rows, columns=["arm", "share_wrong", "d_prime", "bias", "trials"])


def with_metrics(answers: pd.DataFrame, metrics: pd.DataFrame, test: TestName, names: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Rank correlations of people with metrics, over photographs as arms coloured them, with 95 % intervals.

    The intervals resample photographs, all versions of one together: versions of one photograph are not independent.

    Args:
        metrics: columns image, arm, seed, and the metrics.
    """
    people = scored(answers[answers["kind"] == "test"], test).groupby(["image", "arm", "seed"], as_index=False)["value"].mean()
    both = people.merge(metrics, on=["image", "arm", "seed"])
    rows = []
    for name in names:
        known = both[np.isfinite(both[name])]
        if known.empty:
            continue  # a metric whose weights are not here
        for statistic, function in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
            estimate, low, high = correlation(known["value"], known[name], photographs(known["image"]), function, seed)
            rows.append(
                {"metric": name, "statistic": statistic, "correlation": estimate, "low": low, "high": high, "n": len(known)}
            )
    return pd.DataFrame(rows, columns=["metric", "statistic", "correlation", "low", "high", "n"])


def correlation(
    x: pd.Series, y: pd.Series, clusters: pd.Series, function: Callable[..., Any], seed: int = 0
) -> tuple[float, float, float]:
    """A rank correlation with its 95 % interval, from resampling whole clusters (percentile bootstrap)."""
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return (float("nan"),) * 3
    a, b = x.to_numpy(float), y.to_numpy(float)
    groups = [np.flatnonzero(clusters.to_numpy() == one) for one in clusters.unique()]
    draw = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES if len(groups) > 1 else 0):
        rows = np.concatenate([groups[k] for k in draw.integers(len(groups), size=len(groups))])
        if len(np.unique(a[rows])) > 1 and len(np.unique(b[rows])) > 1:
            drawn.append(function(a[rows], b[rows]).statistic)
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return float(function(a, b).statistic), float(low), float(high)

"""Whether raters agree with one another, tell real from made, and judge as metrics do."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import evalica
import numpy as np
import pandas as pd
from scipy import stats

from analysis.people.clustered import photographs
from analysis.people.design import TRUTH, TestName
from analysis.people.rates import judged_trials, scored
from analysis.statistics.crossed import LEVEL

RESAMPLES = 1000
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff(answers: pd.DataFrame, test: TestName) -> dict[str, float]:
    """Krippendorff's α over what several raters saw, with its 95 % interval; NaN where nobody saw the same.

    Opinions are ordinal. Other answers are nominal, over the same photograph, arms and seeds.
    """
    table = judged_trials(answers, test)
    shown = [name for name in ("image", "arm", "seed", "other", "other_seed") if name in table]
    table = table.assign(unit=table.groupby(shown, dropna=False).ngroup())
    photograph = photographs(table.groupby("unit")["image"].first())
    matrix = table.pivot_table(index="rater", columns="unit", values="value", aggfunc="first")
    matrix = matrix.loc[:, matrix.notna().sum() > 1]
    if matrix.shape[1] < 2 or len(np.unique(matrix.stack().dropna())) < 2:
        return {"alpha": np.nan, "low": np.nan, "high": np.nan, "units": matrix.shape[1]}
    return alpha(
        matrix, "ordinal" if test == "opinion" else "nominal", photograph[matrix.columns].tolist()
    )


def alpha(
    matrix: pd.DataFrame, scale: Scale, photographs_of: Sequence[str] | None = None
) -> dict[str, float]:
    """Krippendorff's α of raters (rows) by units (columns), NaN where a rater did not judge a unit, with its 95 % interval.

    The interval is about other raters and other photographs: the jackknife's variances of leaving out each rater and each
    photograph add up. A bootstrap of raters would draw some twice, who agree with themselves.

    Args:
        photographs_of: the photograph of each unit; by default each unit is one of its own.
    """
    value = float(evalica.alpha(matrix, scale).alpha)
    groups = np.asarray(
        photographs_of if photographs_of is not None else matrix.columns.astype(str)
    )
    over_raters, raters = _jackknife([matrix.drop(index=rater) for rater in matrix.index], scale)
    over_units, units = _jackknife(
        [matrix.loc[:, groups != name] for name in dict.fromkeys(groups)], scale
    )
    half = float(
        stats.t.ppf(1 - LEVEL / 2, max(min(raters, units) - 1, 1))
        * np.sqrt(over_raters + over_units)
    )
    return {
        "alpha": value,
        "low": value - half,
        "high": min(value + half, 1.0),
        "units": matrix.shape[1],
    }


def _jackknife(parts: Sequence[pd.DataFrame], scale: Scale) -> tuple[float, int]:
    """The jackknife's variance of α over tables with one group left out each, NaN for fewer than 2, and the number of groups."""
    values = [_alpha_or_nan(part, scale) for part in parts]
    known = np.array([value for value in values if np.isfinite(value)])
    count = len(known)
    return float((count - 1) * known.var()) if count > 1 else float("nan"), count


def _alpha_or_nan(matrix: pd.DataFrame, scale: Scale) -> float:
    """α, or NaN where nothing is left to agree on."""
    judged_twice = matrix.loc[:, matrix.notna().sum() > 1]
    if judged_twice.shape[1] < 1 or len(np.unique(judged_twice.stack().dropna())) < 2:
        return float("nan")
    return float(evalica.alpha(judged_twice, scale).alpha)


def detection(answers: pd.DataFrame) -> pd.DataFrame:
    """How well raters told an arm's photographs from real ones shown alone: share wrong, d′ and bias c by arm.

    d′ = z(H) - z(F) and c = -(z(H) + z(F))/2, with H the share of real ones and F the share of the arm's called real. Each count
    has 0.5 added and each total 1, so that shares of 0 and 1 have a z (Hautus 1995). d′ of 0 is perfect colour; NaN if no
    real photograph was shown.
    """
    table = judged_trials(answers, "single")
    real = table.loc[table["arm"] == TRUTH, "value"]
    rows = []
    for arm, made in table[table["arm"] != TRUTH].groupby("arm")["value"]:
        h, f = (
            stats.norm.ppf((values.sum() + 0.5) / (len(values) + 1)) if len(values) else np.nan
            for values in (real, made)
        )
        wrong = (made.mean() + 1 - real.mean()) / 2 if len(real) else np.nan
        rows.append(
            {
                "arm": arm,
                "share_wrong": wrong,
                "d_prime": h - f,
                "bias": -(h + f) / 2,
                "trials": len(made),
            }
        )
    return pd.DataFrame(rows, columns=["arm", "share_wrong", "d_prime", "bias", "trials"])


def with_metrics(
    answers: pd.DataFrame,
    metrics: pd.DataFrame,
    test: TestName,
    names: Sequence[str],
    seed: int = 0,
) -> pd.DataFrame:
    """Rank correlations of people with metrics, over photographs as arms coloured them, with 95 % intervals.

    The intervals resample photographs, all versions of one together: versions of one photograph are not independent.

    Args:
        metrics: columns image, arm, seed, and the metrics.
    """
    people = (
        scored(answers[answers["kind"] == "test"], test)
        .groupby(["image", "arm", "seed"], as_index=False)["value"]
        .mean()
    )
    both = people.merge(metrics, on=["image", "arm", "seed"])
    rows = []
    for name in names:
        known = both[np.isfinite(both[name])]
        if known.empty:
            continue  # a metric whose weights are not here
        for statistic, function in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
            estimate, low, high = correlation(
                known["value"], known[name], photographs(known["image"]), function, seed
            )
            rows.append(
                {
                    "metric": name,
                    "statistic": statistic,
                    "correlation": estimate,
                    "low": low,
                    "high": high,
                    "n": len(known),
                }
            )
    return pd.DataFrame(rows, columns=["metric", "statistic", "correlation", "low", "high", "n"])


def correlation(
    x: pd.Series, y: pd.Series, clusters: pd.Series, function: Callable[..., Any], seed: int = 0
) -> tuple[float, float, float]:
    """A rank correlation with its 95 % interval, from resampling whole clusters (percentile bootstrap)."""
    nan = float("nan")
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return nan, nan, nan
    a = x.to_numpy(float)
    b = y.to_numpy(float)
    drawn = []
    for rows in _resamples(clusters.to_numpy(), np.random.default_rng(seed)):
        if np.ptp(a[rows]) > 0 and np.ptp(b[rows]) > 0:
            drawn.append(function(a[rows], b[rows]).statistic)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2]) if drawn else (nan, nan)
    return float(function(a, b).statistic), float(low), float(high)


def _resamples(clusters: np.ndarray, draw: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of whole clusters, drawn with replacement; none where there is a single cluster."""
    groups = [np.flatnonzero(clusters == one) for one in pd.unique(clusters)]
    if len(groups) < 2:
        return
    for _ in range(RESAMPLES):
        chosen = draw.integers(len(groups), size=len(groups))
        yield np.concatenate([groups[k] for k in chosen])

"""The human study in a report: what people say beside what the metrics say. `colourbench ratings tables` wrote the tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.results import Results
from common.colour.metrics import METRICS

TABLES = (
    "about",
    "by_arm",
    "pairs",
    "verdicts",
    "by_arm_kept",
    "pairs_kept",
    "detection",
    "agreement",
    "metrics",
)
# the runs whose photographs raters saw
RUNS = "runs"
MEANS = {"fooling_rate": "taken for real", "mos": "mean opinion score", "worth": "worth (log odds)"}


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of the human study in a folder, named `people_…`; empty if there was none."""
    paths = {name: folder / "tables" / f"{name}.csv" for name in TABLES}
    return {
        f"people_{name}": pd.read_csv(path)
        for name, path in paths.items()
        if path.is_file() and path.stat().st_size > 1
    }


def replaced_runs(folder: Path, results: Results) -> list[str]:
    """The arms and seeds that raters saw and that the study has trained again since, or has no more."""
    path = folder / "tables" / f"{RUNS}.csv"
    if not path.is_file():
        return []
    now = {(run.tags["arm"], int(run.tags["seed"])): run.id for run in results.cells}
    return [
        f"{row['arm']} seed {row['seed']}"
        for row in pd.read_csv(path).to_dict("records")
        if now.get((str(row["arm"]), int(row["seed"]))) != row["run"]
    ]


def mean_of(by_arm: pd.DataFrame) -> str:
    """The column that holds an arm's mean."""
    return next(name for name in MEANS if name in by_arm)


def readable_by_arm(frame: pd.DataFrame) -> pd.DataFrame:
    """Arms with mean and interval, rates in per cent."""
    name = mean_of(frame)
    scale, digits = (100, 1) if name == "fooling_rate" else (1, 2)
    values = (frame[[name, "low", "high"]] * scale).to_numpy(float)
    shown = [_with_interval(mean, low, high, digits) for mean, low, high in values]
    title = MEANS[name] + (", %" if scale == 100 else "")
    return pd.DataFrame(
        {
            "arm": frame["arm"],
            title: shown,
            "trials": frame["trials"],
            "interval": frame["interval"],
        }
    )


def readable_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Differences with their intervals and Holm's p."""
    interval = [
        _with_interval(value, low, high, 3)
        for value, low, high in frame[["difference", "low", "high"]].to_numpy(float)
    ]
    p = [f"{p:.3f}" if np.isfinite(p) else "–" for p in frame["p_holm"]]
    return pd.DataFrame(
        {"first": frame["first"], "second": frame["second"], "difference": interval, "p (Holm)": p}
    )


def readable_verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """What the study's own criterion says of each pair, with the interval that it rests on."""
    interval = [
        _with_interval(value, low, high, 3)
        for value, low, high in frame[["difference", "low", "high"]].to_numpy(float)
    ]
    return pd.DataFrame(
        {
            "first": frame["first"],
            "second": frame["second"],
            "difference": interval,
            "verdict": frame["verdict"],
        }
    )


def readable_metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of people with each metric, Spearman's and Kendall's side by side."""
    text = [
        f"{r:+.2f} [{low:+.2f}, {high:+.2f}]"
        for r, low, high in frame[["correlation", "low", "high"]].to_numpy(float)
    ]
    wide = frame.assign(text=text).pivot(index="metric", columns="statistic", values="text")
    wide = wide.reindex([name for name in METRICS if name in wide.index]).reset_index()
    wide["metric"] = [METRICS[name].arrow for name in wide["metric"]]
    wide.columns.name = None
    return wide.rename(columns={"spearman": "Spearman's ρ", "kendall": "Kendall's τ"})


def _with_interval(value: float, low: float, high: float, digits: int) -> str:
    interval = (
        f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) and np.isfinite(high) else ""
    )
    return f"{value:.{digits}f}{interval}" if np.isfinite(value) else "–"


def readable_detection(frame: pd.DataFrame) -> pd.DataFrame:
    """How well people told an arm's photographs from real ones shown alone."""
    return pd.DataFrame(
        {
            "arm": frame["arm"],
            "share wrong": [_rounded(value) for value in frame["share_wrong"]],
            "d′ (0 is perfect colour)": [_rounded(value) for value in frame["d_prime"]],
            "bias c": [_rounded(value) for value in frame["bias"]],
            "trials": frame["trials"],
        }
    )


def readable_agreement(frame: pd.DataFrame) -> pd.DataFrame:
    """Krippendorff's α with its interval over other raters and photographs."""
    values = frame[["alpha", "low", "high"]].to_numpy(float)
    shown = [_with_interval(value, low, high, 2) for value, low, high in values]
    return pd.DataFrame(
        {"Krippendorff's α [95 % interval]": shown, "judged by several raters": frame["units"]}
    )


def _rounded(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def readable_about(frame: pd.DataFrame) -> pd.DataFrame:
    """The protocol and its numbers, without which no rate may stand."""
    return frame.fillna("")


READABLE = {
    "people_about": readable_about,
    "people_by_arm": readable_by_arm,
    "people_pairs": readable_pairs,
    "people_verdicts": readable_verdicts,
    "people_by_arm_kept": readable_by_arm,
    "people_pairs_kept": readable_pairs,
    "people_detection": readable_detection,
    "people_agreement": readable_agreement,
    "people_metrics": readable_metrics,
}

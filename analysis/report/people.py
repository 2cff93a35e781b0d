"""The human study in a report: what people say beside what the metrics say. `colourbench ratings tables` wrote the tables."""

from pathlib import Path

import pandas as pd

from analysis.tables import with_half
from common.colour.metrics import METRICS

TABLES = ("by_arm", "pairs", "metrics")
MEANS = {"fooling_rate": "taken for real", "mos": "mean opinion score", "worth": "worth (log odds)"}


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of the human study in a folder, named `people_…`; empty if there was none."""
    paths = {name: folder / "tables" / f"{name}.csv" for name in TABLES}
    return {f"people_{name}": pd.read_csv(path) for name, path in paths.items() if path.is_file() and path.stat().st_size > 1}


def mean_of(by_arm: pd.DataFrame) -> str:
    """The column that holds an arm's mean."""
    return next(name for name in MEANS if name in by_arm)


def readable_by_arm(frame: pd.DataFrame) -> pd.DataFrame:
    """Arms with mean ± half-width, rates in per cent."""
    name = mean_of(frame)
    scale, digits = (100, 1) if name == "fooling_rate" else (1, 2)
    half = (frame["high"] - frame["low"]) / 2 * scale
    shown = [with_half(float(mean), float(h), digits) for mean, h in zip(frame[name] * scale, half, strict=True)]
    title = MEANS[name] + (", %" if scale == 100 else "")
    return pd.DataFrame({"arm": frame["arm"], title: shown, "trials": frame["trials"], "interval": frame["interval"]})


def readable_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Differences with their intervals and Holm's p."""
    interval = [f"{d:+.3f} [{low:+.3f}, {high:+.3f}]" for d, low, high in frame[["difference", "low", "high"]].to_numpy(float)]
    p = [f"{p:.3f}" for p in frame["p_holm"]]
    return pd.DataFrame({"first": frame["first"], "second": frame["second"], "difference": interval, "p (Holm)": p})


def readable_metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of people with each metric, Spearman's and Kendall's side by side."""
    text = [f"{r:+.2f} [{low:+.2f}, {high:+.2f}]" for r, low, high in frame[["correlation", "low", "high"]].to_numpy(float)]
    wide = frame.assign(text=text).pivot(index="metric", columns="statistic", values="text")
    wide = wide.reindex([name for name in METRICS if name in wide.index]).reset_index()
    wide["metric"] = [METRICS[name].arrow for name in wide["metric"]]
    wide.columns.name = None
    return wide.rename(columns={"spearman": "Spearman's ρ", "kendall": "Kendall's τ"})


READABLE = {"people_by_arm": readable_by_arm, "people_pairs": readable_pairs, "people_metrics": readable_metrics}

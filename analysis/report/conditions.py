"""Arms under other conditions: on old film, and with colour hints."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.metrics.conditions import PLAIN
from analysis.report import study_tables
from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL

METRIC = "delta_e"
HINTS = "hints_"


def by_condition(results: Results) -> pd.DataFrame:
    """One row for each arm and condition: mean ΔE₀₀ over seeds, and the change against the first condition, each ± its interval.

    Columns arm, kind, condition, delta_e, delta_e_half, change, change_half, seeds, colourfulness. Empty if no arm was tested so.
    Intervals are Student's over seeds, the change is paired by seed; with one seed there is none (NaN).
    """
    table = results.conditions
    if table.empty:
        return table
    per_seed = (
        table.groupby(["arm", "condition", "seed"], sort=False)[[METRIC, "colourfulness"]]
        .mean()
        .reset_index()
    )
    rows = [
        _row(per_seed, arm, condition)
        for arm, condition in per_seed[["arm", "condition"]].drop_duplicates().to_numpy()
    ]
    return pd.DataFrame(rows)


def compared(results: Results) -> pd.DataFrame:
    """Every pair of trained arms in ΔE₀₀ under every condition that both were tested under, with Holm's correction over all.

    Columns as of `differences.within`, the group being the condition; empty if no arm was tested so.
    """
    table = results.conditions
    if table.empty:
        return table
    tables = {str(name): rows for name, rows in table.groupby("condition", sort=False)}
    return differences.within(tables, METRIC, list(combinations(table["arm"].unique(), 2)))


def _row(per_seed: pd.DataFrame, arm: str, condition: str) -> dict[str, object]:
    own = per_seed[per_seed["arm"] == arm].set_index("seed")
    here = own[own["condition"] == condition]
    first = own[own["condition"] == _reference(condition)]
    values = here[METRIC].to_numpy(float)
    changes = (here[METRIC] - first[METRIC]).to_numpy(float)
    return {
        "arm": arm,
        "kind": "hints" if condition.startswith(HINTS) else "film",
        "condition": condition.removeprefix(HINTS),
        METRIC: values.mean(),
        f"{METRIC}_half": _half_width(values),
        "change": changes.mean(),
        "change_half": _half_width(changes),
        "seeds": len(values),
        "colourfulness": here["colourfulness"].mean(),
    }


def _half_width(values: np.ndarray) -> float:
    """Half of Student's 95 % interval of a mean over seeds; NaN for one seed."""
    n = len(values)
    return float(stats.t.ppf(1 - LEVEL / 2, n - 1) * stats.sem(values)) if n > 1 else float("nan")


def _reference(condition: str) -> str:
    return f"{HINTS}0" if condition.startswith(HINTS) else PLAIN


def films(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about film."""
    return frame[frame["kind"] == "film"] if len(frame) else frame


def hints(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about hints."""
    return frame[frame["kind"] == "hints"] if len(frame) else frame


def readable_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """The table of pairs formatted for readers."""
    columns = study_tables.readable_pairs(frame).drop(columns="metric")
    return pd.concat(
        [
            frame["group"].map(lambda name: _title(name.removeprefix(HINTS))).rename("condition"),
            columns,
        ],
        axis=1,
    )


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Arms down, conditions across: ΔE₀₀, and in round brackets what the condition changes, with the change's interval."""
    text = [_cell(row) for row in frame.to_dict("records")]
    order = list(dict.fromkeys(frame["condition"]))
    wide = frame.assign(text=text).pivot(index="arm", columns="condition", values="text")
    wide = (
        wide.reindex(index=list(dict.fromkeys(frame["arm"])), columns=order)
        .fillna("–")
        .reset_index()
    )
    wide.columns = ["arm", *(_title(name) for name in order)]
    return wide


def _cell(row: Mapping[Any, Any]) -> str:
    mean = row[METRIC]
    half = row[f"{METRIC}_half"]
    if row["condition"] in (PLAIN, "0"):
        return f"{mean:.2f}" + (f" ± {half:.2f}" if np.isfinite(half) else "")
    changed = f"{row['change']:+.2f}" + (
        f" ± {row['change_half']:.2f}" if np.isfinite(row["change_half"]) else ""
    )
    return f"{mean:.2f} ({changed})"


def _title(condition: str) -> str:
    if condition.isdecimal():
        return f"{condition} hint{'' if condition == '1' else 's'}"
    return {PLAIN: "as the eye sees"}.get(condition, condition.replace("_", " "))

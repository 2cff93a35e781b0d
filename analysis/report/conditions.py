"""Arms under other conditions: on old film, and with colour hints."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.metrics.conditions import PLAIN
from analysis.results import Results
from analysis.statistics.crossed import LEVEL

METRIC = "delta_e"
HINTS = "hints_"


def by_condition(results: Results) -> pd.DataFrame:
    """One row for each arm and condition: mean ΔE₀₀ over seeds with its interval over seeds, and the change against the first one.

    Columns arm, kind, condition, delta_e, low, high, seeds, change, colourfulness. Empty if no arm was tested so. The change is
    paired by seed; with one seed there is no interval.
    """
    table = results.conditions
    if table.empty:
        return table
    per_seed = table.groupby(["arm", "condition", "seed"], sort=False)[[METRIC, "colourfulness"]].mean().reset_index()
    rows = [_row(per_seed, arm, condition) for arm, condition in per_seed[["arm", "condition"]].drop_duplicates().to_numpy()]
    return pd.DataFrame(rows)


def _row(per_seed: pd.DataFrame, arm: str, condition: str) -> dict[str, object]:
    own = per_seed[per_seed["arm"] == arm].set_index("seed")
    here, first = own[own["condition"] == condition], own[own["condition"] == _reference(condition)]
    values = here[METRIC].to_numpy(float)
    half = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
    return {
        "arm": arm,
        "kind": "hints" if condition.startswith(HINTS) else "film",
        "condition": condition.removeprefix(HINTS),
        METRIC: values.mean(),
        "low": values.mean() - half,
        "high": values.mean() + half,
        "seeds": len(values),
        "change": float((here[METRIC] - first[METRIC]).mean()),
        "colourfulness": here["colourfulness"].mean(),
    }


def _reference(condition: str) -> str:
    return f"{HINTS}0" if condition.startswith(HINTS) else PLAIN


def films(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about film."""
    return frame[frame["kind"] == "film"] if len(frame) else frame


def hints(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about hints."""
    return frame[frame["kind"] == "hints"] if len(frame) else frame


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Arms down, conditions across: ΔE₀₀ with its interval, and in round brackets what the condition changes."""
    text = [_cell(row) for row in frame.to_dict("records")]
    order = list(dict.fromkeys(frame["condition"]))
    wide = frame.assign(text=text).pivot(index="arm", columns="condition", values="text")
    wide = wide.reindex(index=list(dict.fromkeys(frame["arm"])), columns=order).fillna("–").reset_index()
    wide.columns = ["arm", *(_title(name) for name in order)]
    return wide


def _cell(row: Mapping[Any, Any]) -> str:
    mean, low, high, change = (float(row[name]) for name in (METRIC, "low", "high", "change"))
    interval = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    is_reference = row["condition"] in (PLAIN, "0")
    return f"{mean:.2f}{interval}" + ("" if is_reference else f" ({change:+.2f})")


def _title(condition: str) -> str:
    if condition.isdecimal():
        return f"{condition} hint{'' if condition == '1' else 's'}"
    return {PLAIN: "as the eye sees"}.get(condition, condition.replace("_", " "))

"""Figures of other conditions: ΔE₀₀ against the number of hints, and film by film."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import STYLE, palette


def hints(frame: pd.DataFrame) -> Figure | None:
    """ΔE₀₀ against the number of hints, one line for each arm; an arm that takes none is a flat dashed line."""
    if frame.empty:
        return None
    colours = palette(list(dict.fromkeys(frame["arm"])))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for arm, rows in frame.groupby("arm", sort=False):
            if len(rows) == 1:
                axes.axhline(rows["delta_e"].iloc[0], linestyle="--", color=colours[str(arm)], label=f"{arm} (takes none)")
            else:
                _with_interval(axes, rows["condition"].astype(int), rows, colours[str(arm)], str(arm))
        axes.set_xscale("symlog", linthresh=1)
        counts = sorted({int(count) for count in frame["condition"]})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="points of true colour", ylabel="ΔE₀₀ (lower is better)")
        axes.legend()
    return figure


def films(frame: pd.DataFrame) -> Figure | None:
    """ΔE₀₀ of every arm on every film, with intervals over seeds."""
    if frame.empty:
        return None
    arms, conditions = (list(dict.fromkeys(frame[name])) for name in ("arm", "condition"))
    colours = palette(arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for number, arm in enumerate(arms):
            rows = frame[frame["arm"] == arm].set_index("condition").loc[conditions]
            shift = (number - (len(arms) - 1) / 2) * 0.14
            places = pd.Series([place + shift for place in range(len(conditions))])
            _with_interval(axes, places, rows, colours[arm], arm, line="none")
        axes.set_xticks(range(len(conditions)), ["as the eye sees" if c == "none" else c.replace("_", "\n") for c in conditions])
        axes.set(ylabel="ΔE₀₀ (lower is better)")
        axes.legend()
    return figure


def _with_interval(
    axes: Axes, x: pd.Series, rows: pd.DataFrame, colour: tuple[float, float, float], label: str, line: str = "-"
) -> None:
    half = (rows["high"] - rows["delta_e"]).fillna(0.0)
    axes.errorbar(x, rows["delta_e"], yerr=half, marker="o", capsize=3, linestyle=line, color=colour, label=label)

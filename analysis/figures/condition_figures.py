"""Figures of other conditions: ΔE₀₀ against the number of hints, and what each film changes."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import STYLE, palette
from analysis.metrics.conditions import PLAIN


def hints(frame: pd.DataFrame) -> Figure | None:
    """ΔE₀₀ against the number of hints, one line for each arm; an arm that takes none is a flat dashed line."""
    if frame.empty:
        return None
    colours = palette(list(dict.fromkeys(frame["arm"])))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for arm, rows in frame.groupby("arm", sort=False):
            if len(rows) == 1:
                axes.axhline(
                    rows["delta_e"].iloc[0],
                    linestyle="--",
                    color=colours[str(arm)],
                    label=f"{arm} (takes none)",
                )
            else:
                half = rows["delta_e_half"].fillna(0.0)
                _points(
                    axes,
                    rows["condition"].astype(int),
                    rows["delta_e"],
                    half,
                    colours[str(arm)],
                    label=str(arm),
                    linestyle="-",
                )
        axes.set_xscale("symlog", linthresh=1)
        counts = sorted({int(count) for count in frame["condition"]})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="points of true colour", ylabel="ΔE₀₀ (lower is better)")
        figure.legend(loc="outside right upper")
    return figure


def films(frame: pd.DataFrame) -> Figure | None:
    """What each film changes in an arm's ΔE₀₀, with intervals over seeds."""
    if frame.empty:
        return None
    arms = list(dict.fromkeys(frame["arm"]))
    conditions = [
        condition for condition in dict.fromkeys(frame["condition"]) if condition != PLAIN
    ]
    colours = palette(arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color="grey", linewidth=1)
        for number, arm in enumerate(arms):
            rows = frame[frame["arm"] == arm].set_index("condition").loc[conditions]
            shift = (number - (len(arms) - 1) / 2) * 0.12
            places = pd.Series([position + shift for position in range(len(conditions))])
            _points(
                axes,
                places,
                rows["change"],
                rows["change_half"].fillna(0.0),
                colours[arm],
                label=arm,
                linestyle="none",
            )
        axes.set_xticks(
            range(len(conditions)), [condition.replace("_", "\n") for condition in conditions]
        )
        axes.set(ylabel="change of ΔE₀₀ against lightness\nas the eye sees it (lower is better)")
        figure.legend(loc="outside right upper")
    return figure


def _points(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    half: pd.Series,
    colour: tuple[float, float, float],
    label: str,
    linestyle: str,
) -> None:
    axes.errorbar(
        x, y, yerr=half, marker="o", capsize=3, linestyle=linestyle, color=colour, label=label
    )

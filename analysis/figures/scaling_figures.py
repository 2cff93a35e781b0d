"""Speed and memory against batch size, image size and threads."""

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from analysis.figures.drawing import STYLE

AXES = {"batch": "images in a batch", "size": "pixels", "threads": "threads"}
ROWS = {"images_per_second": "images/s", "memory_gb": "peak memory, GB"}


def scaling(table: pd.DataFrame, title: str) -> Figure:
    """One column per axis, one row per measure; scales are logarithmic, except the memory axis, which is linear from 0."""
    axes = [name for name in AXES if name in set(table["axis"])]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(axes), 5.4), layout="constrained")
        grid = figure.subplots(len(ROWS), len(axes), squeeze=False)
        for row, (measure, label) in enumerate(ROWS.items()):
            for column, name in enumerate(axes):
                panel = grid[row][column]
                _draw(panel, table[table["axis"] == name], measure, legend=row == column == 0)
                panel.set(xlabel=AXES[name], ylabel=label if column == 0 else "")
        figure.suptitle(title)
    return figure


def _draw(panel: Axes, table: pd.DataFrame, measure: str, legend: bool) -> None:
    sns.lineplot(table, x="value", y=measure, hue="variant", marker="o", ax=panel, legend=legend)
    ticks = sorted(table["value"].unique())
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    if measure == "memory_gb":
        panel.set_ylim(0, 1.1 * table[measure].max())
    else:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.minorticks_off()
    if legend:
        panel.legend(title=None, frameon=False)

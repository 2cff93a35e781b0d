"""The figures of a sweep: history, pruning, importance, slices, parallel coordinates, Pareto front."""

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.figures.drawing import STYLE

COLUMNS = 3
DONE = "complete"
PRUNED = "pruned"
DOTS: Any = {"cmap": "Blues", "s": 20, "edgecolors": "0.4", "linewidths": 0.4}


@dataclass(frozen=True)
class Trials:
    """A sweep as tables.

    `table` has one row per trial: `trial`, `state`, one column per objective, and one per field (named as in the run's settings).
    `curves` has one row per validation: `trial`, `images`, `value`. `importance` is the share of the variance a field explains.
    """

    name: str
    objectives: dict[str, str]  # name -> minimize or maximize
    fields: list[str]
    table: pd.DataFrame
    curves: pd.DataFrame
    importance: dict[str, float]
    front: list[int]

    @property
    def complete(self) -> pd.DataFrame:
        """The complete trials."""
        return self.table[self.table["state"] == DONE]

    @property
    def first(self) -> str:
        """The first objective."""
        return next(iter(self.objectives))


def draw(trials: Trials) -> dict[str, Figure]:
    """Draws every figure for which the sweep has data."""
    drawn = {"history": history(trials)}
    if trials.importance:
        drawn["importance"] = importance(trials)
    if len(trials.complete) > 1:
        drawn |= {"slices": slices(trials), "parallel": parallel(trials)}
    if trials.curves["trial"].nunique() > 1:
        drawn["pruning"] = pruning(trials)
    if len(trials.objectives) > 1:
        drawn["front"] = front(trials)
    return drawn


def history(trials: Trials) -> Figure:
    """The value of each trial, and the best so far."""
    table = trials.complete.sort_values("trial")
    name = trials.first
    best = table[name].cummin() if trials.objectives[name] == "minimize" else table[name].cummax()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axis = figure.subplots()
        axis.scatter(table["trial"], table[name], s=22, label="complete")
        axis.step(table["trial"], best, where="post", color="0.25", label="best so far")
        pruned = trials.curves[
            trials.curves["trial"].isin(trials.table.loc[trials.table["state"] == PRUNED, "trial"])
        ]
        last = pruned.groupby("trial")["value"].last()
        axis.scatter(last.index, last, marker="x", color="0.6", s=22, label="pruned, last figure")
        axis.set(xlabel="trial", ylabel=name)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
    return figure


def importance(trials: Trials) -> Figure:
    """The share of the objective's variance that each field explains (fANOVA)."""
    shares = dict(sorted(trials.importance.items(), key=lambda item: item[1]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.8 + 0.4 * len(shares)), layout="constrained")
        axis = figure.subplots()
        axis.barh(
            [_short(name) for name in shares],
            list(shares.values()),
            color=sns.color_palette("colorblind")[0],
        )
        axis.set(xlabel=f"share of the variance of {trials.first}")
    return figure


def slices(trials: Trials) -> Figure:
    """The objective by each field; later trials are darker."""
    rows = -(-len(trials.fields) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).ravel()
        for axis, name in zip(axes, trials.fields, strict=False):
            table = trials.complete.dropna(subset=[name])
            values = table[name] if _is_number(table[name]) else table[name].astype(str)
            axis.scatter(
                values, table[trials.first], c=table["trial"], vmin=-len(trials.table) / 2, **DOTS
            )
            axis.set_xlabel(_short(name))
            _scale(axis, table[name])
        for axis in axes[len(trials.fields) :]:
            axis.set_visible(False)
        for axis in axes[::COLUMNS]:
            axis.set_ylabel(trials.first)
    return figure


def parallel(trials: Trials) -> Figure:
    """One line per trial through all its fields, coloured by the objective: good trials are dark."""
    table = trials.complete
    positions = pd.DataFrame({name: _placed(table[name]) for name in trials.fields})
    value = table[trials.first]
    good = value.rank(ascending=trials.objectives[trials.first] == "maximize", pct=True)
    colours = sns.color_palette("viridis_r", as_cmap=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        axis = figure.subplots()
        for row in good.sort_values().index:
            axis.plot(
                range(len(trials.fields)),
                positions.loc[row],
                color=colours(good[row]),
                alpha=0.25 + 0.75 * good[row] ** 2,
                linewidth=1.4,
            )
        axis.set_xticks(
            range(len(trials.fields)),
            [_short(name).replace(" ", "\n") for name in trials.fields],
            fontsize=8,
        )
        axis.set_yticks([0, 1], ["lowest", "highest"])
        axis.set_title(f"dark: good {trials.first}")
    return figure


def pruning(trials: Trials) -> Figure:
    """The validation curves of all trials; pruned trials are grey."""
    states = trials.table.set_index("trial")["state"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        axis = figure.subplots()
        for number, curve in trials.curves.groupby("trial"):
            done = states.get(number) == DONE
            style = (
                {"color": sns.color_palette("colorblind")[0], "alpha": 0.6}
                if done
                else {"color": "0.6", "linestyle": "--"}
            )
            axis.plot(curve["images"], curve["value"], linewidth=1, **style)
            if not done:
                axis.plot(
                    curve["images"].iloc[-1],
                    curve["value"].iloc[-1],
                    "x",
                    color="0.4",
                    markersize=5,
                )
        axis.set(xlabel="training images drawn", ylabel=trials.first)
    return figure


def front(trials: Trials) -> Figure:
    """The first two objectives of every trial, and the Pareto front."""
    x = list(trials.objectives)[1]
    y = trials.first
    table = trials.complete
    best = table[table["trial"].isin(trials.front)].sort_values(x)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5, 4.4), layout="constrained")
        axis = figure.subplots()
        axis.scatter(table[x], table[y], s=22, color="0.6", label="trials")
        axis.plot(
            best[x],
            best[y],
            marker="o",
            color=sns.color_palette("colorblind")[1],
            label="Pareto front",
        )
        for row in best.to_dict("records"):
            axis.annotate(
                f"{row['trial']:.0f}",
                (row[x], row[y]),
                textcoords="offset points",
                xytext=(4, 4),
                fontsize=8,
            )
        axis.set(xlabel=x, ylabel=y)
        axis.legend()
    return figure


def _short(name: str) -> str:
    """A short readable name for a field such as `variant.generator.adam.learning_rate`."""
    parts = [part for part in name.split(".") if part not in ("variant", "adam", "network")]
    return " ".join(parts).replace("_", " ")


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values)) and not pd.api.types.is_bool_dtype(values)


def _spans_magnitudes(values: pd.Series) -> bool:
    return _is_number(values) and bool(values.min() > 0) and bool(values.max() / values.min() > 5)


def _scale(axis: Axes, values: pd.Series) -> None:
    """Sets few ticks, so that their labels do not touch in a narrow panel."""
    if not _is_number(values):
        return
    if _spans_magnitudes(values.dropna()):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0), numticks=5))
        axis.xaxis.set_major_formatter(
            FuncFormatter(
                lambda value, position: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
            )
        )
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(
            MaxNLocator(nbins=4, integer=pd.api.types.is_integer_dtype(values))
        )


def _placed(values: pd.Series) -> pd.Series:
    """Positions between 0 and 1: numbers by value (by logarithm if they span orders of magnitude), other values by name."""
    codes = (
        values
        if _is_number(values)
        else pd.Series(pd.factorize(values.astype(str), sort=True)[0], index=values.index)
    )
    scaled = np.log(codes) if _spans_magnitudes(codes.dropna()) else codes.astype(float)
    span = scaled.max() - scaled.min()
    return (scaled - scaled.min()) / span if span > 0 else scaled * 0 + 0.5

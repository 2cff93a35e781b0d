"""The figures of a study. Each function draws one and returns it."""

from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import STYLE, palette
from analysis.results import Results
from common.colour import lab
from common.colour.metrics import METRICS
from common.tracking import Run

PANELS = 6  # per row
TITLE_WIDTH = 14  # characters in a line above a narrow panel
DOTS = 1000  # photographs per arm, at most
MUTATION = "train/mutation_"
SMOOTHING = 25  # points in the moving average of a mutation's share


def curves(results: Results) -> Figure | None:
    """Validation ΔE and colourfulness by images and by seconds: a line per seed, their mean, and a ± 1 standard deviation band."""
    table = results.curves
    if table.empty:
        return None
    colours = palette(results.arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7), layout="constrained")
        axes = figure.subplots(2, 2, sharey="row")
        for row, metric in enumerate(("validation/delta_e", "validation/colourfulness")):
            for column, unit in enumerate(("images", "seconds")):
                axis = axes[row, column]
                for arm, arm_rows in table.groupby("arm", sort=False):
                    _draw_curves(axis, arm_rows, unit, metric, str(arm), colours[str(arm)])
                axis.set_xlabel(
                    {"images": "training images drawn", "seconds": "seconds of training"}[unit]
                )
                axis.set_ylabel("validation " + METRICS[metric.rpartition("/")[2]].label)
        axes[0, 0].legend(title="arm")
    return figure


def _draw_curves(
    axis: Axes, table: pd.DataFrame, unit: str, metric: str, arm: str, colour: Any
) -> None:
    for _, curve in table.groupby("seed"):
        axis.plot(curve[unit], curve[metric], color=colour, alpha=0.3, linewidth=0.8)
    looks = table.assign(look=table.groupby("seed").cumcount()).groupby("look")[[unit, metric]]
    mean = looks.mean()
    deviation = looks.std()[metric].fillna(0.0)
    axis.fill_between(
        mean[unit],
        mean[metric] - deviation,
        mean[metric] + deviation,
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    axis.plot(
        mean[unit], mean[metric], color=colour, linewidth=2.2, marker="o", markersize=3, label=arm
    )


def colourfulness(results: Results) -> Figure:
    """Colourfulness of test photographs against the truth's: one panel per arm, mean over seeds; below the diagonal is too pale."""
    arms = [arm for arm in results.arms if arm != "grey"]
    table = results.table[results.table["arm"].isin(arms)]
    means = table.groupby(["arm", "photograph"])[["colourfulness", "colourfulness_truth"]].mean()
    top = float(means.to_numpy().max()) * 1.05
    colours = palette(results.arms)
    with mpl.rc_context(STYLE):
        figure, axes = _panels(len(arms), 3, (3.2, 3.2))
        for axis, arm in zip(axes, arms, strict=False):
            dots = means.loc[arm].iloc[:: -(-len(means.loc[arm]) // DOTS)]
            axis.scatter(
                dots["colourfulness_truth"],
                dots["colourfulness"],
                color=colours[arm],
                s=8,
                alpha=0.6,
                linewidth=0,
                rasterized=True,
            )
            axis.plot([0, top], [0, top], color="0.4", linewidth=1, linestyle="--")
            axis.set(xlim=(0, top), ylim=(0, top), title=fill(arm, 2 * TITLE_WIDTH))
        figure.supxlabel("colourfulness of the truth")
        figure.supylabel("colourfulness, colourised")
    return figure


def _panels(count: int, most: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """Axes in rows of at most `most`, each of the given size in inches; unused axes are switched off."""
    columns = min(count, most)
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def distribution(results: Results) -> Figure:
    """The share of the test photographs below each value of the primary metric, averaged over the seeds of each arm."""
    metric = results.settings["primary"]
    colours = palette(results.arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axis = figure.subplots()
        for arm in results.arms:
            values = results.scores(metric).values[arm].mean(axis=0)
            line = "--" if arm in results.baselines else "-"
            sns.ecdfplot(
                x=values[np.isfinite(values)],
                color=colours[arm],
                linestyle=line,
                label=arm,
                ax=axis,
            )
        axis.set(xlabel=METRICS[metric].label, ylabel="share of the test photographs")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ab_histograms(results: Results) -> Figure:
    """The distribution of colours in the ab plane, on a log scale: the truth and every arm."""
    shown = {
        "truth": results.truth,
        **{arm: results.samples(arm) for arm in results.arms if arm != "grey"},
    }
    edges = np.linspace(-100, 100, 81)
    with mpl.rc_context(STYLE):
        figure, axes = _panels(len(shown), PANELS, (2.3, 2.7))
        for axis, (name, photographs) in zip(axes, shown.items(), strict=False):
            a, b = _ab(photographs)
            counts, _, _ = np.histogram2d(b, a, bins=(edges, edges))
            axis.imshow(
                np.log1p(counts), origin="lower", extent=(-100, 100, -100, 100), cmap="magma"
            )
            axis.set(title=fill(name, TITLE_WIDTH), xlabel="a")
            axis.grid(False)
        axes[0].set_ylabel("b")
    return figure


def mutations(results: Results) -> Figure | None:
    """The history of E-GAN: the smoothed share of survivors by mutation, and the fitness of the fittest child."""
    runs = [run for run in results.cells if _mutations_of(run)]
    if not runs:
        return None
    run = runs[0]
    names = _mutations_of(run)
    table = run.curves([*names, "train/quality", "train/diversity"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        shares, fitness = figure.subplots(1, 2)
        _stack_shares(shares, table, names)
        shares.set_title(f"{run.name}: surviving mutations")
        fitness.plot(table["images"], table["train/quality"], label="quality F_q")
        fitness.plot(table["images"], table["train/diversity"], label="diversity F_d")
        fitness.set(xlabel="training images drawn", title="fitness of the fittest child")
        fitness.legend()
    return figure


def _mutations_of(run: Run) -> list[str]:
    return sorted(name for name in run.metrics if name.startswith(MUTATION))


def _stack_shares(axis: Axes, table: pd.DataFrame, names: list[str]) -> None:
    window = min(SMOOTHING, max(1, len(table) // 4))
    smooth = table[names].rolling(window, min_periods=1).mean()
    labels = [name.removeprefix(MUTATION).replace("_", " ") for name in names]
    colours = sns.color_palette("colorblind", len(names))
    axis.stackplot(table["images"], smooth.to_numpy().T, labels=labels, colors=colours)
    axis.set(xlabel="training images drawn", ylabel="share of survivors", ylim=(0, 1))
    axis.legend(loc="lower left")


def inflection(results: Results) -> Figure | None:
    """Where adversarial training stopped: the watched metric beside the adversarial loss, with best point and stop marked."""
    runs = [run for run in results.trained if "inflection/decided_at" in run.metrics]
    if not runs:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2 * len(runs), 3.8), layout="constrained")
        for axis, run in zip(np.atleast_1d(figure.subplots(1, len(runs))), runs, strict=True):
            _draw_inflection(axis, run)
    return figure


def _draw_inflection(axis: Axes, run: Run) -> None:
    metric = f"validation/{run.params['schedule.inflection.metric']}"
    table = run.curves([metric, "train/adversarial"])
    watched = table.dropna(subset=[metric])
    adversarial = table.dropna(subset=["train/adversarial"])
    first, second = sns.color_palette("colorblind", 2)
    axis.plot(watched["images"], watched[metric], color=first, marker="o", markersize=3)
    axis.set(xlabel="training images drawn", title=run.name)
    axis.set_ylabel("validation " + METRICS[metric.partition("/")[2]].label, color=first)
    losses = axis.twinx()
    losses.plot(
        adversarial["images"],
        adversarial["train/adversarial"],
        color=second,
        alpha=0.8,
        linewidth=1,
    )
    losses.set_ylabel("generator's adversarial loss", color=second)
    losses.grid(False)
    for name, style, text in (("best_at", "-", "best"), ("decided_at", "--", "stopped")):
        position = run.metrics[f"inflection/{name}"]
        axis.axvline(position, color="0.3", linestyle=style, linewidth=1)
        axis.annotate(
            text,
            (position, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
        )


def critic_accuracy(results: Results) -> Figure | None:
    """The critic's accuracy at telling real from fake during its pretraining."""
    name = "train/critic_accuracy"
    runs = [run for run in results.trained if name in run.metrics]
    if not runs:
        return None
    colours = palette(results.arms)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.4), layout="constrained")
        axis = figure.subplots()
        for run in runs:
            table = run.curves([name])
            axis.plot(
                table["images"],
                table[name],
                color=colours[run.tags["arm"]],
                label=run.name,
                marker=".",
                linewidth=1,
            )
        axis.set(xlabel="training images drawn", ylabel="critic's accuracy", ylim=(None, 1.02))
        axis.legend(fontsize=8)
    return figure


def _ab(photographs: UInt8[np.ndarray, "n h w 3"]) -> tuple[np.ndarray, np.ndarray]:
    import torch

    image = lab.rgb_to_lab(torch.from_numpy(photographs).permute(0, 3, 1, 2))
    return image[:, 1].numpy().ravel(), image[:, 2].numpy().ravel()

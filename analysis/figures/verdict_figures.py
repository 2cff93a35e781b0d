"""Figures of the verdict: the differences beside the margin, and the sources of their uncertainty."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import STYLE
from analysis.results import Results
from analysis.verdicts.verdict import Answer, Verdict
from common.colour.metrics import METRICS

OUTCOMES = ("better", "slightly better", "equivalent", "not settled")


def forest(verdict: Verdict, of_baselines: bool = False) -> Figure | None:
    """Each difference with its interval; a band around 0 shows the margin.

    Args:
        of_baselines: whether the pairs with a baseline are drawn, or those without.
    """
    answers = [
        answer
        for answer in reversed(verdict.answers)
        if math.isfinite(answer.estimate) and answer.is_asked != of_baselines
    ]
    if not answers:
        return None
    count = len(answers)
    shades = dict(zip(OUTCOMES, sns.color_palette("colorblind", len(OUTCOMES)), strict=True))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.1 + 0.34 * count), layout="constrained")
        axis = figure.subplots()
        axis.axvspan(-verdict.margin, verdict.margin, color="0.9", zorder=0)
        axis.axvline(0, color="0.4", linewidth=1)
        for position, answer in enumerate(answers):
            _draw_interval(axis, answer, position, shades[answer.outcome])
        axis.set_yticks(range(count), [f"{one.first} − {one.second}" for one in answers])
        axis.set_xlabel(_direction(verdict.primary))
        axis.set_ylim(-0.7, count - 0.3)
        for outcome, colour in shades.items():
            axis.plot([], [], "o-", color=colour, label=outcome)
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _direction(primary: str) -> str:
    metric = METRICS[primary]
    side = "first better →" if metric.direction > 0 else "← first better"
    return f"difference in {metric.label}   ({side})"


def _draw_interval(axis: Axes, answer: Answer, position: int, colour: tuple[float, ...]) -> None:
    if math.isfinite(answer.low):
        ends = [answer.low, answer.high]
        axis.plot(ends, [position, position], color=colour, linewidth=2)
    axis.plot(answer.estimate, position, "o", color=colour, markersize=5)


def people(rated: pd.DataFrame, mean: str) -> Figure:
    """Each arm's mean with its interval, as people see it; the best on top.

    Args:
        rated: columns arm, low, high, and `mean`.
    """
    ordered = rated.sort_values(mean)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.1 + 0.34 * len(ordered)), layout="constrained")
        axis = figure.subplots()
        positions = range(len(ordered))
        axis.hlines(
            positions,
            ordered["low"],
            ordered["high"],
            color=sns.color_palette("colorblind")[0],
            linewidth=2,
        )
        axis.plot(
            ordered[mean], positions, "o", color=sns.color_palette("colorblind")[0], markersize=5
        )
        perfect = {"fooling_rate": 0.5, "worth": 0.0}.get(mean)
        if perfect is not None:
            axis.axvline(perfect, color="0.4", linewidth=1, linestyle="--")
        axis.set_yticks(list(positions), ordered["arm"])
        axis.set(
            xlabel=mean.replace("_", " ").replace("mos", "mean opinion score"),
            ylim=(-0.7, len(ordered) - 0.3),
        )
    return figure


def variance(results: Results, verdict: Verdict) -> Figure | None:
    """Shares of the variance of each difference between trained arms: seeds, photographs x arm, and error of single values."""
    answers = [
        answer
        for answer in verdict.answers
        if all(n > 1 for n in answer.seeds) and answer.photographs > 1
    ]
    if not answers:
        return None
    shares = np.array([_shares(results, verdict.primary, answer) for answer in answers])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.1 + 0.4 * len(answers)), layout="constrained")
        axis = figure.subplots()
        left = np.zeros(len(answers))
        names = ("seeds", "arm × photograph", "error of single figures")
        for name, column, colour in zip(
            names, shares.T, sns.color_palette("colorblind", 3), strict=True
        ):
            axis.barh(range(len(answers)), column, left=left, color=colour, label=name)
            left += column
        axis.set_yticks(
            range(len(answers)), [f"{answer.first} − {answer.second}" for answer in answers]
        )
        axis.set(xlabel="share of the variance of the difference", xlim=(0, 1))
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _shares(results: Results, primary: str, answer: Answer) -> list[float]:
    components = results.scores(primary).components(answer.first, answer.second)
    seeds = sum(own / n for own, n in zip(components.seeds, answer.seeds, strict=True))
    error = sum(
        mse / (n * answer.photographs)
        for mse, n in zip(components.errors, answer.seeds, strict=True)
    )
    parts = [seeds, components.photographs / answer.photographs, error]
    total = sum(parts) or 1.0
    return [part / total for part in parts]

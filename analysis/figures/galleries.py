"""Galleries of photographs side by side, and the choice of the photographs to show."""

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.results import Results
from common.colour.metrics import METRICS

SMALL: Any = {"font.size": 9}
TITLE_WIDTH = 14  # characters in a line above a narrow panel
MOST_SEEDS = 6  # at most, per arm
ROWS = 3


@dataclass(frozen=True)
class Choice:
    """Sample photographs to show, by their position among the samples, each with the reason."""

    places: list[int]
    titles: list[str]


def extremes(results: Results) -> Choice:
    """The lowest, median and highest error by the arms' mean ΔE₀₀, and the most and least colourful true photographs."""
    means = _sampled(results)
    by_error = means["delta_e"].sort_values().index
    by_colour = means["colourfulness_truth"].sort_values().index
    wanted = {
        "lowest ΔE": by_error[0],
        "median ΔE": by_error[len(by_error) // 2],
        "highest ΔE": by_error[-1],
        "most colourful": by_colour[-1],
        "least colourful": by_colour[0],
    }
    return _choice(results, list(wanted.values()), list(wanted))


def three(results: Results) -> Choice:
    """For the first screen: the lowest, median and highest error."""
    found = extremes(results)
    return Choice(found.places[:3], found.titles[:3])


def disputed(results: Results) -> Choice:
    """The photographs on which the arms differ most in the primary metric, each arm averaged over its seeds."""
    primary = results.settings["primary"]
    shown = _shown_arms(results)
    by_arm = (
        results.table[results.table["arm"].isin(shown)]
        .groupby(["image", "arm"])[primary]
        .mean()
        .unstack("arm")
    )
    spread = (
        by_arm.loc[by_arm.index.intersection(pd.Index(results.sample_names))]
        .std(axis=1)
        .sort_values(ascending=False)
    )
    largest = spread.dropna().head(ROWS)
    title = METRICS[primary].label
    return _choice(
        results, list(largest.index), [f"spread {value:.3g} {title}" for value in largest]
    )


def gallery(results: Results, choice: Choice) -> Figure | None:
    """One row per photograph: the input, the first seed of every arm, and the truth."""
    if not choice.places:
        return None
    columns = {
        "input": results.grey,
        **{arm: results.samples(arm) for arm in results.arms if arm != "grey"},
        "truth": results.truth,
    }
    rows = [
        [photographs[position] for photographs in columns.values()] for position in choice.places
    ]
    return drawn(rows, choice.titles, list(columns))


def seeds(results: Results) -> Figure | None:
    """One row per arm: the photograph on which its seeds differ most in the primary metric, as each seed colours it."""
    rows = []
    titles = []
    for arm in _shown_arms(results):
        runs = results.runs_of(arm)[:MOST_SEEDS]
        if len(runs) < 2:
            continue
        position = _most_different(results, arm)
        coloured = [results.samples_of(run)[position] for run in runs]
        rows.append([results.grey[position], *coloured, results.truth[position]])
        titles.append(fill(arm, TITLE_WIDTH))
    if not rows:
        return None
    width = max(len(row) for row in rows)
    filled = [[*row[:-1], *[None] * (width - len(row)), row[-1]] for row in rows]
    return drawn(filled, titles, ["input", *[f"seed {n}" for n in range(1, width - 1)], "truth"])


def _most_different(results: Results, arm: str) -> int:
    """Position of the sample on which the arm's seeds differ most in the primary metric."""
    names = results.sample_names
    table = results.table
    rows = table[(table["arm"] == arm) & table["image"].isin(names)]
    spread = rows.groupby("image")[results.settings["primary"]].std()
    return names.index(str(spread.idxmax())) if spread.notna().any() else 0


def _sampled(results: Results) -> pd.DataFrame:
    table = results.table[results.table["arm"] != "grey"]
    means = table.groupby("image")[["delta_e", "colourfulness_truth"]].mean()
    return means.loc[means.index.intersection(pd.Index(results.sample_names))]


def _shown_arms(results: Results) -> list[str]:
    return [arm for arm in results.arms if arm not in results.settings["baselines"]]


def _choice(results: Results, images: list[Any], titles: list[str]) -> Choice:
    names = results.sample_names
    return Choice([names.index(str(image)) for image in images], titles)


def drawn(rows: list[list[np.ndarray | None]], titles: list[str], columns: list[str]) -> Figure:
    """Photographs in rows and columns; None leaves a place empty."""
    with mpl.rc_context(SMALL):
        figure = Figure(
            figsize=(1.55 * len(columns) + 0.8, 1.6 * len(rows) + 0.3), layout="constrained"
        )
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        for row, photographs in enumerate(rows):
            for column, photograph in enumerate(photographs):
                axis = axes[row, column]
                if photograph is None:
                    axis.set_axis_off()
                    continue
                axis.imshow(photograph, interpolation="lanczos")
                axis.set_xticks([])
                axis.set_yticks([])
                if row == 0:
                    axis.set_title(fill(columns[column], TITLE_WIDTH))
            axes[row, 0].set_ylabel(fill(titles[row], TITLE_WIDTH, break_long_words=False))
    return figure

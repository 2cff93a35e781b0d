"""The page of a sweep: its best trials, its figures, and every trial."""

from pathlib import Path

import pandas as pd

from analysis import tables
from analysis.figures import drawing, sweep_figures
from analysis.report import page

BEST_TRIALS = 10
CAPTIONS = {
    "history": ("History", "Each trial's value as it came, and the best so far."),
    "front": ("Pareto front", "No trial is better than one of the front in both objectives."),
    "importance": (
        "Importance",
        "Share of the objective's variance that a field explains (fANOVA); with few trials it says little.",
    ),
    "slices": ("Field by field", "Later trials are darker."),
    "parallel": (
        "Parallel coordinates",
        "A line is a trial; fields that span magnitudes are logarithmic.",
    ),
    "pruning": ("Pruning", "Validation curves; dashed ones were stopped."),
}


def write_sweep(trials: sweep_figures.Trials, about: str, folder: Path) -> Path:
    """Writes a sweep's tables/, figures/ and sweep.html below `folder` and returns the page's path."""
    tables.write(trials.table, trials.table, folder / "tables", "trials")
    images = {
        name: page.embedded(drawing.save(figure, folder / "figures", name))
        for name, figure in sweep_figures.draw(trials).items()
    }
    ascending = trials.objectives[trials.first] == "minimize"
    best = trials.complete.sort_values(trials.first, ascending=ascending).head(BEST_TRIALS)
    shown = {
        "best": page.html_table(_rounded(best)),
        "all": page.html_table(_rounded(trials.table)),
    }
    html = page.template("sweep.html.j2").render(
        trials=trials, about=about, captions=CAPTIONS, images=images, **shown
    )
    path = folder / "sweep.html"
    path.write_text(html, encoding="utf-8")
    return path


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    def text(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return frame.map(text).rename(columns=lambda name: str(name).removeprefix("variant."))

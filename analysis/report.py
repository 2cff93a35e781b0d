"""The report of a study: tables, figures, and one HTML page that opens without a network."""

import base64
import json
from html import escape
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, Template, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import classes, figures, itself, sweep_figures, tables, verdict_figures
from analysis import verdict as verdicts
from analysis.evaluation import METRICS
from analysis.results import Results
from analysis.verdict import Verdict
from common.files import write_atomically
from common.tracking import Run

FEW_PHOTOGRAPHS = 20
VERDICT = "verdict.json"
BEST_TRIALS = 10


def write(results: Results, folder: Path, commands: list[str]) -> Path:
    """Writes tables/, figures/ and report.html below `folder` and returns the page's path.

    Args:
        commands: the commands that reproduce the study, shown at the end.
    """
    pairs = tables.pairwise(results)
    frames = {
        "headline": tables.headline(results, pairs),
        "pairwise": pairs,
        "cost": tables.cost(results),
        "per_class": classes.per_class(results),
        "diversity": tables.diversity(results),
        "itself": itself.against_itself(results),
    }
    readable = {
        "headline": tables.readable_headline(frames["headline"]),
        "pairwise": tables.readable_pairs(pairs),
        "cost": tables.readable_cost(frames["cost"]),
        "per_class": classes.readable(frames["per_class"]),
        "diversity": tables.readable_diversity(frames["diversity"]),
        "itself": tables.readable_itself(frames["itself"]),
    }
    answer = verdicts.verdict(results, pairs)
    write_atomically(folder / VERDICT, json.dumps(answer.record(), indent=2, ensure_ascii=False).encode())
    for name, frame in frames.items():
        if len(frame):
            tables.write(frame, readable[name], folder / "tables", name)
    results.table.to_csv(folder / "tables" / "per_image.csv", index=False)
    images = {name: _embedded(figures.save(figure, folder / "figures", name)) for name, figure in _draw(results, answer).items()}
    page = _template("report.html.j2").render(
        results=results,
        tables={
            name: _html(readable[name]) for name in ("headline", "cost", "per_class", "diversity", "itself") if len(frames[name])
        },
        pairs=_pairs_by_metric(readable["pairwise"], METRICS[answer.primary][0]),
        answer=answer,
        itself=itself.summary(frames["itself"]),
        titles={name: title for name, (title, _) in METRICS.items()},
        images=images,
        warnings=warnings(results),
        runs=[_run_row(run) for run in results.cells],
        settings=json.dumps(results.settings, indent=2, ensure_ascii=False),
        commands=commands,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


CAPTIONS = {
    "history": ("History", "Each trial's value as it came, and the best so far."),
    "front": ("Pareto front", "No trial is better than one of the front in both objectives."),
    "importance": (
        "Importance",
        "Share of the objective's variance that a field explains (fANOVA); with few trials it says little.",
    ),
    "slices": ("Field by field", "Later trials are darker."),
    "parallel": ("Parallel coordinates", "A line is a trial; fields that span magnitudes are logarithmic."),
    "pruning": ("Pruning", "Validation curves; dashed ones were stopped."),
}


def write_sweep(trials: sweep_figures.Trials, about: str, folder: Path) -> Path:
    """Writes a sweep's tables/, figures/ and sweep.html below `folder` and returns the page's path."""
    tables.write(trials.table, trials.table, folder / "tables", "trials")
    images = {
        name: _embedded(figures.save(figure, folder / "figures", name)) for name, figure in sweep_figures.draw(trials).items()
    }
    ascending = trials.objectives[trials.first] == "minimize"
    best = trials.complete.sort_values(trials.first, ascending=ascending).head(BEST_TRIALS)
    page = _template("sweep.html.j2").render(
        trials=trials, about=about, captions=CAPTIONS, images=images, best=_html(_rounded(best)), all=_html(_rounded(trials.table))
    )
    path = folder / "sweep.html"
    path.write_text(page, encoding="utf-8")
    return path


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    def text(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return frame.map(text).rename(columns=lambda name: str(name).removeprefix("variant."))


def warnings(results: Results) -> list[str]:
    """What a reader must know before believing the figures."""
    found = []
    photographs = results.table["photograph"].nunique()
    if photographs < FEW_PHOTOGRAPHS:
        found.append(
            f"The test split holds {results.table['image'].nunique()} images cut from only {photographs} photographs. Photographs "
            "are the unit of the statistics, so intervals are wide and hardly any difference can be significant with so few: "
            "read this as a demonstration."
        )
    seeds = results.table[~results.table["arm"].isin(results.settings["baselines"])].groupby("arm")["seed"].nunique()
    if len(seeds) and seeds.min() < 3:
        count = f"{seeds.min()} seed{'s' if seeds.min() > 1 else ''}"
        found.append(
            f"Some arms have only {count}. Seeds are what tells a method from its luck: with two or three an interval is wide, and "
            "with one there is none. `colourbench plan` says how many would settle the question."
        )
    expected = len(results.settings["cells"])
    if len(results.cells) < expected:
        found.append(
            f"{expected - len(results.cells)} of {expected} runs are not finished; `colourbench compare` goes on with them."
        )
    return found


def _draw(results: Results, answer: Verdict) -> dict[str, Figure]:
    drawn = {
        "forest": verdict_figures.forest(answer),
        "variance": verdict_figures.variance(results, answer),
        "gallery": figures.gallery(results, *figures.gallery_choice(results)),
        "curves": figures.curves(results),
        "distribution": figures.distribution(results),
        "colourfulness": figures.colourfulness(results),
        "ab_histograms": figures.ab_histograms(results),
        "mutations": figures.mutations(results),
        "critic_accuracy": figures.critic_accuracy(results),
        "inflection": figures.inflection(results),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _html(frame: pd.DataFrame) -> Markup:
    """A table; `**text**` becomes bold."""
    bold = frame.map(lambda value: f"<strong>{escape(value[2:-2])}</strong>" if str(value).startswith("**") else escape(str(value)))
    return Markup(bold.to_html(index=False, escape=False, border=0))


def _pairs_by_metric(frame: pd.DataFrame, primary: str) -> list[tuple[str, Markup]]:
    """One table a metric, the primary one first and the others said to be secondary."""
    if frame.empty:
        return []
    titles = sorted(dict.fromkeys(frame["metric"]), key=lambda title: title != primary)
    kinds = {title: "primary" if title == primary else "secondary" for title in titles}
    return [(f"{title} ({kinds[title]})", _html(frame[frame["metric"] == title].drop(columns="metric"))) for title in titles]


def _run_row(run: Run) -> dict[str, str]:
    tags = run.tags
    return {
        "arm": tags["arm"],
        "seed": tags["seed"],
        "id": run.id,
        "config": tags.get("config_sha256", "")[:12],
        "precision": tags.get("precision", ""),
        "code": tags.get("code_version", ""),
    }


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    return environment.get_template(name)

"""The report of a study: tables, figures, and one page that opens without a network, as HTML, PDF or Markdown."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import tables
from analysis.figures import condition_figures, drawing, galleries, study_figures, verdict_figures
from analysis.report import classes, conditions, methods, page, people, study_tables
from analysis.results import Results
from analysis.verdicts import itself
from analysis.verdicts import verdict as verdicts
from analysis.verdicts.verdict import Verdict
from common.colour.metrics import METRICS
from common.errors import ColourbenchError
from common.files.atomic import write_atomically
from common.files.names import VERDICT
from common.tracking import Run

FEW_PHOTOGRAPHS = 20
FORMATS = ("html", "pdf", "md")
PACKAGES = ("torch", "numpy", "scipy", "pandas", "mlflow")
CONTENTS = (  # of the page: anchor, title, and the figure or table that the section requires
    ("results", "Results", ""),
    ("people", "People", "people_by_arm"),
    ("uncertainty", "Where the uncertainty comes from", "variance"),
    ("photographs", "Photographs", ""),
    ("old", "Photographs without a truth", "old_photographs"),
    ("curves", "Curves", "curves"),
    ("colours", "Colours", ""),
    ("evolution", "Evolution", "mutations"),
    ("critic", "Critic pretraining", "critic_accuracy"),
    ("inflection", "Where adversarial training stopped", "inflection"),
    ("versions", "Several versions", "diversity"),
    ("classes", "Labels, class by class", "per_class"),
    ("hints", "Colour hints", "hints"),
    ("film", "Old film", "films"),
    ("pairs", "Pairs", ""),
    ("itself", "Against itself", "itself"),
    ("cost", "Cost", ""),
    ("methods", "Methods", ""),
    ("reproduce", "How to reproduce", ""),
)


def write(
    results: Results,
    folder: Path,
    commands: list[str],
    missing: Sequence[str] = (),
    formats: Sequence[str] = ("html",),
    rated: Mapping[str, pd.DataFrame] | None = None,
    more: Mapping[str, Figure] | None = None,
) -> Path:
    """Writes tables/, figures/, verdict.json, methods.txt, references.bib and the page; returns the first page's path.

    Args:
        commands: the commands that reproduce the study, shown at the end.
        missing: what could not be computed, and how to get it.
        formats: a selection from `FORMATS`.
        rated: the tables of the human study, if there was one, as `people.read` gives them.
        more: further figures, by name: `old_photographs` has a section of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = study_tables.pairwise(results)
    answer = verdicts.verdict(results, pairs)
    frames, readable = _tables(results, pairs, rated or {})
    for name, shown in readable.items():
        tables.write(frames[name], shown, folder / "tables", name)
    tables.write_large(results.table, folder / "tables" / "per_image.csv")
    figures = draw(results, answer) | _people(frames) | _conditions(frames) | dict(more or {})
    drawn = {name: drawing.save(figure, folder / "figures", name) for name, figure in figures.items()}
    text = methods.paragraph(results, answer)
    write_atomically(folder / VERDICT, json.dumps(answer.record(), indent=2, ensure_ascii=False).encode())
    (folder / "methods.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "references.bib").write_text(methods.bibtex(text) + "\n", encoding="utf-8")
    context = _said(results, answer, text, commands, missing) | {"itself": itself.summary(frames["itself"])}
    return _pages(folder, formats, readable, drawn, context, METRICS[answer.primary].label)


def _conditions(frames: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    drawn = {"hints": condition_figures.hints(frames["hints"]), "films": condition_figures.films(frames["films"])}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _people(frames: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    rated = frames.get("people_by_arm")
    return {} if rated is None else {"people": verdict_figures.people(rated, people.mean_of(rated))}


def _tables(
    results: Results, pairs: pd.DataFrame, rated: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Every table in full precision, and the same tables formatted for readers."""
    tested = conditions.by_condition(results)
    frames = {
        "headline": study_tables.headline(results, pairs),
        "further": study_tables.further(results),
        "not_finite": study_tables.not_finite(results),
        "pairwise": pairs,
        "cost": study_tables.cost(results),
        "per_class": classes.per_class(results),
        "diversity": study_tables.diversity(results),
        "itself": itself.against_itself(results),
        "hints": conditions.hints(tested),
        "films": conditions.films(tested),
        **rated,
    }
    formatters = {
        "headline": study_tables.readable_headline,
        "further": study_tables.readable_further,
        "not_finite": study_tables.readable_not_finite,
        "pairwise": study_tables.readable_pairs,
        "cost": study_tables.readable_cost,
        "per_class": classes.readable,
        "diversity": study_tables.readable_diversity,
        "itself": study_tables.readable_itself,
        "hints": conditions.readable,
        "films": conditions.readable,
        **people.READABLE,
    }
    return frames, {name: formatters[name](frame) for name, frame in frames.items() if len(frame)}


def draw(results: Results, answer: Verdict) -> dict[str, Figure]:
    """The figures of a report, by name; figures without data are left out."""
    drawn = {
        "forest": verdict_figures.forest(answer),
        "variance": verdict_figures.variance(results, answer),
        "gallery": galleries.gallery(results, galleries.extremes(results)),
        "disputed": galleries.gallery(results, galleries.disputed(results)),
        "seeds": galleries.seeds(results),
        "curves": study_figures.curves(results),
        "distribution": study_figures.distribution(results),
        "colourfulness": study_figures.colourfulness(results),
        "ab_histograms": study_figures.ab_histograms(results),
        "mutations": study_figures.mutations(results),
        "critic_accuracy": study_figures.critic_accuracy(results),
        "inflection": study_figures.inflection(results),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _said(results: Results, answer: Verdict, text: str, commands: list[str], missing: Sequence[str]) -> dict[str, Any]:
    return {
        "results": results,
        "answer": answer,
        "titles": {name: metric.label for name, metric in METRICS.items()},
        "warnings": warnings(results),
        "missing": missing,
        "bleeding_truth": study_tables.bleeding_of_the_truth(results),
        "methods": text,
        "bibtex": methods.bibtex(text),
        "environment": environment(),
        "runs": [_run_row(run) for run in results.cells],
        "settings": json.dumps(results.settings, indent=2, ensure_ascii=False),
        "commands": commands,
    }


def _pages(
    folder: Path,
    formats: Sequence[str],
    shown: dict[str, pd.DataFrame],
    drawn: dict[str, Path],
    context: dict[str, Any],
    primary: str,
) -> Path:
    contents = [(anchor, title) for anchor, title, needs in CONTENTS if not needs or needs in drawn or needs in shown]
    written = []
    if "md" in formats:
        written.append(folder / "report.md")
        marked = {name: tables.markdown(table) for name, table in shown.items()}
        pictures = {name: path.relative_to(folder).as_posix() for name, path in drawn.items()}
        text = page.template("report.md.j2").render(tables=marked, images=pictures, **context)
        written[-1].write_text(text, encoding="utf-8")
    if {"html", "pdf"} & set(formats):
        html = page.template("report.html.j2").render(
            tables={name: page.html_table(table) for name, table in shown.items()},
            pairs=_pairs_by_metric(shown.get("pairwise", pd.DataFrame()), primary),
            images={name: page.embedded(path) for name, path in drawn.items()},
            contents=contents,
            **context,
        )
        if "pdf" in formats:
            written.insert(0, folder / "report.pdf")
            page.write_pdf(html, written[0])
        if "html" in formats:
            written.insert(0, folder / "report.html")
            written[0].write_text(html, encoding="utf-8")
    return written[0]


def check_formats(formats: Sequence[str]) -> None:
    """Checks that all formats are known.

    Raises:
        ColourbenchError: a format is unknown.
    """
    if wrong := [name for name in formats if name not in FORMATS]:
        raise ColourbenchError(f"--format {wrong[0]}: choose {', '.join(FORMATS)}")


def environment() -> str:
    """Python, the packages that affect the results, and the system."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {versions}, {platform.system()} {platform.machine()}"


def warnings(results: Results) -> list[str]:
    """What a reader must know before trusting the results."""
    return [*_few(results), *_unfinished(results), *results.remarks]


def _few(results: Results) -> list[str]:
    texts = []
    photographs = results.table["photograph"].nunique()
    if photographs < FEW_PHOTOGRAPHS:
        texts.append(
            f"The test split holds {results.table['image'].nunique()} images cut from only {photographs} photographs. Photographs "
            "are the unit of the statistics, so intervals are wide and hardly any difference can be significant with so few: "
            "read this as a demonstration."
        )
    seeds = results.table[~results.table["fixed"]].groupby("arm")["seed"].nunique()
    if len(seeds) and seeds.min() < 3:
        count = f"{seeds.min()} seed{'s' if seeds.min() > 1 else ''}"
        texts.append(
            f"Some arms have only {count}. Seeds are what tells a method from its luck: with two or three an interval is wide, and "
            "with one there is none. `colourbench plan` says how many would settle the question."
        )
    return texts


def _unfinished(results: Results) -> list[str]:
    expected = len(results.settings["cells"])
    if len(results.cells) == expected:
        return []
    return [f"{expected - len(results.cells)} of {expected} runs are not finished; `colourbench compare` goes on with them."]


def _pairs_by_metric(frame: pd.DataFrame, primary: str) -> list[tuple[str, Markup]]:
    """One table per metric; the primary metric comes first, and the others are labelled secondary."""
    if frame.empty:
        return []
    titles = sorted(dict.fromkeys(frame["metric"]), key=lambda title: title != primary)
    kinds = {title: "primary" if title == primary else "secondary" for title in titles}
    return [
        (f"{title} ({kinds[title]})", page.html_table(frame[frame["metric"] == title].drop(columns="metric"))) for title in titles
    ]


def _run_row(run: Run) -> dict[str, str]:
    tags = run.tags
    device = ", ".join(tags[name] for name in ("device", "processor") if name in tags)
    return {
        "arm": tags["arm"],
        "seed": tags["seed"],
        "id": run.id,
        "config": tags.get("config_sha256", "")[:12],
        "device": device,
        "precision": tags.get("precision", ""),
        "code": tags.get("code_version", ""),
    }

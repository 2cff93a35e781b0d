"""The report of a study: tables, figures, and one page that opens without a network, as HTML, PDF or Markdown."""

import importlib.metadata
import json
import platform
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
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
from analysis.verdicts.conclusion import conclusion, ranked
from analysis.verdicts.remarks import remarks
from analysis.verdicts.verdict import Verdict
from common.colour.metrics import METRICS
from common.errors import ColourbenchError
from common.system.atomic import write_atomically
from common.system.names import VERDICT
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
    ("conditions", "Pairs under each condition", "conditions"),
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
    frames = _frames(results, pairs, rated or {})
    readable = _readable(frames, answer)
    tables.write_large(results.table, folder / "tables" / "per_image.csv")
    for name, shown in readable.items():
        tables.write(frames[name], shown, folder / "tables", name)
    figures = draw(results, answer) | _people(frames) | _conditions(frames) | dict(more or {})
    drawn = _drawn(figures, folder / "figures")
    text = methods.paragraph(results, answer)
    _write_texts(folder, answer, text)
    context = _said(results, answer, text, commands, missing)
    context["itself"] = itself.summary(frames["itself"])
    return _pages(folder, formats, readable, drawn, context)


def _conditions(frames: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    drawn = {
        "hints": condition_figures.hints(frames["hints"]),
        "films": condition_figures.films(frames["films"]),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _people(frames: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    rated = frames.get("people_by_arm")
    return {} if rated is None else {"people": verdict_figures.people(rated, people.mean_of(rated))}


def _drawn(figures: Mapping[str, Figure], folder: Path) -> dict[str, Path]:
    return {name: drawing.save(figure, folder, name) for name, figure in figures.items()}


def _write_texts(folder: Path, answer: Verdict, text: str) -> None:
    record = json.dumps(answer.record(), indent=2, ensure_ascii=False)
    write_atomically(folder / VERDICT, record.encode())
    (folder / "methods.txt").write_text(text + "\n", encoding="utf-8")
    (folder / "references.bib").write_text(methods.bibtex(text) + "\n", encoding="utf-8")


def _frames(
    results: Results, pairs: pd.DataFrame, rated: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Every table in full precision."""
    tested = conditions.by_condition(results)
    return {
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
        "conditions": conditions.compared(results),
        **rated,
    }


def _readable(frames: Mapping[str, pd.DataFrame], answer: Verdict) -> dict[str, pd.DataFrame]:
    """The tables that have rows, formatted for readers."""
    formatters: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "headline": study_tables.readable_headline,
        "further": study_tables.readable_further,
        "not_finite": study_tables.readable_not_finite,
        "pairwise": partial(study_tables.readable_pairs, answer=answer),
        "cost": study_tables.readable_cost,
        "per_class": classes.readable,
        "diversity": study_tables.readable_diversity,
        "itself": study_tables.readable_itself,
        "hints": conditions.readable,
        "films": conditions.readable,
        "conditions": conditions.readable_pairs,
        **people.READABLE,
    }
    return {name: formatters[name](frame) for name, frame in frames.items() if len(frame)}


def _contents(there: Container[str]) -> list[tuple[str, str]]:
    """Anchor and title of each section that has something to show."""
    return [(anchor, title) for anchor, title, needs in CONTENTS if not needs or needs in there]


def draw(results: Results, answer: Verdict) -> dict[str, Figure]:
    """The figures of a report, by name; figures without data are left out."""
    drawn = {
        "forest": verdict_figures.forest(answer, of_baselines=False),
        "forest_baselines": verdict_figures.forest(answer, of_baselines=True),
        "three": galleries.gallery(results, galleries.three(results)),
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


def _said(
    results: Results, answer: Verdict, text: str, commands: list[str], missing: Sequence[str]
) -> dict[str, Any]:
    return {
        "results": results,
        "answer": answer,
        "titles": {name: metric.label for name, metric in METRICS.items()},
        "primary": METRICS[answer.primary].label,
        "conclusion": conclusion(ranked(results), answer.answers),
        "updates": _updates(results),
        "warnings": warnings(results),
        "missing": missing,
        "bleeding_truth": study_tables.bleeding_of_the_truth(results),
        "methods": text,
        "environment": environment(),
        "runs": [_run_row(run) for run in results.cells],
        "commands": commands,
    }


def _updates(results: Results) -> str:
    """Updates of the generator in a run; a range where arms differ."""
    counts = sorted({int(run.metrics.get("updates", 0)) for run in results.trained})
    if not counts:
        return ""
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _pages(
    folder: Path,
    formats: Sequence[str],
    shown: dict[str, pd.DataFrame],
    drawn: dict[str, Path],
    context: dict[str, Any],
) -> Path:
    written = []
    for name in FORMATS:
        (folder / f"report.{name}").unlink(missing_ok=True)  # none of an earlier state stays
    if "html" in formats or "pdf" in formats:
        html = _html(shown, drawn, context | {"contents": _contents({*drawn, *shown})})
        if "html" in formats:
            written.append(folder / "report.html")
            written[-1].write_text(html, encoding="utf-8")
        if "pdf" in formats:
            written.append(folder / "report.pdf")
            page.write_pdf(html, written[-1])
    if "md" in formats:
        written.append(folder / "report.md")
        written[-1].write_text(_markdown(folder, shown, drawn, context), encoding="utf-8")
    return written[0]


def _html(shown: dict[str, pd.DataFrame], drawn: dict[str, Path], context: dict[str, Any]) -> str:
    return page.template("report.html.j2").render(
        tables={name: page.html_table(table) for name, table in shown.items()},
        pairs=_pairs_by_metric(shown.get("pairwise", pd.DataFrame()), context["primary"]),
        images={name: page.embedded(path) for name, path in drawn.items()},
        **context,
    )


def _markdown(
    folder: Path,
    shown: dict[str, pd.DataFrame],
    drawn: dict[str, Path],
    context: dict[str, Any],
) -> str:
    return page.template("report.md.j2").render(
        tables={name: tables.markdown(table) for name, table in shown.items()},
        images={name: path.relative_to(folder).as_posix() for name, path in drawn.items()},
        **context,
    )


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
    return (
        f"Python {platform.python_version()}, {versions}, {platform.system()} {platform.machine()}"
    )


def warnings(results: Results) -> list[str]:
    """What a reader must know before trusting the results."""
    return [*_few(results), *_unfinished(results), *remarks(results)]


def _few(results: Results) -> list[str]:
    texts = []
    photographs = results.table["photograph"].nunique()
    if photographs < FEW_PHOTOGRAPHS:
        texts.append(
            f"The test split holds {results.table['image'].nunique()} images cut from only {photographs} photographs. Photographs "
            "are the unit of the statistics, so with so few the intervals are wide: read this as a demonstration."
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
    planned = results.settings["cells"]
    finished = {run.name for run in results.cells}
    missing = [name for name in planned if name not in finished]
    if not missing:
        return []
    absent = [arm for arm in results.settings["arms"] if arm not in results.arms]
    named = f" Nothing is finished of {', '.join(absent)}." if absent else ""
    return [
        f"{len(missing)} of {len(planned)} runs are not finished; `colourbench compare` goes on with them.{named}"
    ]


def _pairs_by_metric(frame: pd.DataFrame, primary: str) -> list[tuple[str, Markup]]:
    """One table per metric; the primary metric comes first, and the others are labelled secondary."""
    if frame.empty:
        return []
    titles = sorted(dict.fromkeys(frame["metric"]), key=lambda title: title != primary)
    kinds = {title: "primary" if title == primary else "secondary" for title in titles}
    return [
        (
            f"{title} ({kinds[title]})",
            page.html_table(frame[frame["metric"] == title].drop(columns="metric")),
        )
        for title in titles
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

"""Writes the report of a study, on one data set or on several."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

from analysis import results
from analysis.report import people, several
from analysis.report import report as reports
from analysis.results import Results
from common.system import integrity
from common.system.names import FAMILY, STUDY_YAML, VERDICT
from studies.comparisons import perceptual
from studies.comparisons.study import Study
from studies.home import Home

if TYPE_CHECKING:
    from analysis.figures.drawing import Figure

Say = Callable[[str], None]


def report(
    home: Home,
    study: str,
    formats: Sequence[str] = ("html",),
    say: Say = print,
    more: Callable[[str], Mapping[str, "Figure"]] = lambda study: {},
) -> Path:
    """Writes a study's tables, figures and page; returns the page's path.

    Args:
        more: gives further figures for a study, by name, such as `old_photographs`.

    Raises:
        ColourbenchError: the study never ran, or a format cannot be written here.
    """
    reports.check_formats(formats)
    families = home.store.find(study, {"kind": "family"})
    if not families:
        return _report_one(home, results.load(home.store, home.data, study), formats, say, more)
    family = integrity.read_json(families[-1].folder / FAMILY, "compare again")
    parts = [results.load(home.store, home.data, name) for name in family["parts"]]
    pages = [_report_one(home, part, formats, say, more) for part in parts]
    return several.write(study, family["question"], parts, pages, home.report(study))


def _report_one(
    home: Home,
    part: Results,
    formats: Sequence[str],
    say: Say,
    more: Callable[[str], Mapping[str, "Figure"]],
) -> Path:
    missing = perceptual.measure(home, part, say)  # before any table is read
    rated, remark = _people(home, part)
    folder = home.report(part.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STUDY_YAML).write_text(_as_yaml(part), encoding="utf-8")
    page = reports.write(
        part,
        folder,
        _commands(home, part),
        [*missing, *remark],
        formats,
        rated,
        more(part.name),
    )
    if part.parent:
        answer = integrity.read_json(folder / VERDICT, "write the report again")
        lines = [f"* {item['text']}" for item in answer["answers"]] + [
            f"* {remark}" for remark in answer["remarks"]
        ]
        part.parent.note(f"**{part.settings['question']}**\n\n" + "\n".join(lines))
    return page


def _people(home: Home, part: Results) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The tables of the study's human study; none, and why, if it showed other networks than these."""
    folder = home.ratings(part.name)
    replaced = people.replaced_runs(folder, part)
    if not replaced:
        return people.read(folder), []
    return {}, [
        f"People's answers are left out: raters saw other networks than these ({', '.join(replaced)} were trained again or are "
        "gone). Begin another human study: `colourbench ratings serve --out FOLDER`."
    ]


def _commands(home: Home, part: Results) -> list[str]:
    """Returns the commands that reproduce the study from its data set, with paths relative to the current folder."""
    where = shlex.quote(os.path.relpath(home.path))
    file = shlex.quote(os.path.relpath(home.report(part.name) / STUDY_YAML))
    return [
        f"colourbench data show {part.dataset.name} --home {where}   # the data set, {part.dataset.fingerprint[:12]}",
        f"colourbench compare {file} --home {where}",
        f"colourbench report {part.name} --home {where}",
    ]


def _as_yaml(part: Results) -> str:
    """Returns the study's settings as a YAML file that `colourbench compare` accepts."""
    fields = {
        name: value
        for name, value in part.settings.items()
        if name in Study.model_fields and value not in ("", [], None)
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)

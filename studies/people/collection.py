"""Filled sheets and the page's answers as one tidy table, one row per answered trial."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis.people.design import Trial
from analysis.people.rates import NOT_PASSED
from common.errors import ColourbenchError
from studies.people.sheets import reading
from studies.people.store import Answer, Contradiction, ResponseStore
from studies.people.study import SCHEMA, RatingStudy

TIDY = (
    *(
        "study",
        "schema",
        "rater",
        "session",
        "trial",
        "block",
        "kind",
        "image",
        "arm",
        "seed",
        "side",
        "exposure_ms",
        "response",
    ),
    *(
        "reaction_ms",
        "time",
        "other",
        "other_seed",
        "requested_ms",
        "focus_lost",
        "full_screen",
        "fetches",
        "consent",
    ),
    *("age", "screen"),
)
# the session of answers from sheets: a returned file's name may hold a person's
SHEET = "sheet"


@dataclass
class Collected:
    """What became of filled sheets."""

    new: int = 0
    known: int = 0  # answers that were in the store already
    blank: int = 0
    problems: list[str] = field(default_factory=list)


def filled_sheets(study: RatingStudy) -> list[Path]:
    """The workbooks and CSV files in a study's own folder."""
    return sorted(path for suffix in reading.SUFFIXES for path in study.sheets.glob(f"*/*{suffix}"))


def collect(study: RatingStudy, store: ResponseStore, files: Sequence[Path]) -> Collected:
    """Takes the answers of filled sheets into the store. Twice changes nothing, and one bad file or cell stops no other."""
    collected = Collected()
    trials = {trial.code: trial for trial in study.key.trials}
    withdrawn = store.withdrawn()
    for path in files:
        try:
            sheet = reading.read(path, study.key)
        except ColourbenchError as error:
            collected.problems.append(str(error))
            continue
        collected.problems += sheet.problems
        collected.blank += sheet.blank
        _take(study, store, sheet, trials, withdrawn, collected)
    return collected


def _take(
    study: RatingStudy,
    store: ResponseStore,
    sheet: reading.Sheet,
    trials: dict[str, Trial],
    withdrawn: set[str],
    collected: Collected,
) -> None:
    added: set[str] = set()
    for code, (response, where) in sheet.answers.items():
        rater = trials[code].rater
        if study.keyed(rater) in withdrawn:
            collected.problems.append(f"{sheet.path}: {rater} has withdrawn; the sheet is left out")
            return
        if rater not in added:
            store.add_sheet([trial for trial in trials.values() if trial.rater == rater])
            added.add(rater)
        try:
            fresh = store.answer(Answer(code, response, SHEET, f"sheet {code}"))
        except Contradiction as error:
            collected.problems.append(
                f"{sheet.path}, {where}: {error}, not {response!r}; the first one counts"
            )
            continue
        collected.new += fresh
        collected.known += not fresh


def tidy(study: RatingStudy, store: ResponseStore) -> pd.DataFrame:
    """All answers, of sheets and page.

    Raises:
        ColourbenchError: there is none yet.
    """
    table = store.table()
    if table.empty:
        raise ColourbenchError("there is no answer yet: neither on the page, nor in a sheet")
    table = table.assign(study=study.key.study, schema=SCHEMA)
    table["screen"] = [
        "" if not checks else "passed" if all(checks.values()) else NOT_PASSED
        for checks in table["screen"]
    ]
    table["time"] = pd.to_datetime(table["time"], unit="s", utc=True).dt.strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    for name in ("seed", "other_seed"):
        table[name] = table[name].astype("Int64")
    return table[list(TIDY)]

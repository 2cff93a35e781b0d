"""Filled sheets and the page's answers as one tidy table, one row per answered trial."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis.people.design import Trial
from analysis.people.rates import NOT_PASSED, SHEET
from common.errors import ColourbenchError
from studies.people.sheets import reading
from studies.people.store import Answer, Contradiction, ResponseStore
from studies.people.study import SCHEMA, RatingStudy

# the columns of responses.csv and what they hold, as codebook.csv says
TIDY = {
    "study": "name of the study whose photographs are rated",
    "schema": "version of this table",
    "rater": "pseudonym of the rater",
    "session": "one load of the page; `sheet` for answers from sheets",
    "trial": "place of the trial in its block, from 1, practice included",
    "block": "number of the rater's block, from 1",
    "kind": "practice, test, vigilance (random colours) or repeat (a test trial again); only test trials are counted",
    "image": "name of the photograph",
    "arm": "whose colours are judged; `truth` for the photograph's own",
    "seed": "seed of the run that coloured it; empty for the truth and random colours",
    "side": "left or right: of the truth in a pair, of `arm` in a preference; else empty",
    "exposure_ms": "how long the picture was really shown, in milliseconds; 0 or empty: without limit",
    "response": "pair and preference: left, right, equal; single: real, fake; opinion: 1 (bad) to 5 (excellent)",
    "reaction_ms": "milliseconds from the picture's first frame to the answer",
    "time": "when the answer was kept (UTC)",
    "other": "in a preference, the arm on the other side",
    "other_seed": "seed of the other arm's run",
    "requested_ms": "how long the picture was to be shown; 0: without limit",
    "focus_lost": "whether the window lost the focus during the trial",
    "full_screen": "whether the page filled the screen",
    "shown_px": "shorter side of a photograph on the screen, in CSS pixels",
    "pixel_ratio": "the screen's own pixels a CSS pixel",
    "fetches": "how often the picture was fetched; more than 1: the page was reloaded",
    "consent": "SHA-256 of the text that the rater agreed to; the texts are in consents/",
    "age": "age band, if told",
    "screen": "check of screen and colour vision: passed, not passed, or empty",
    "rejected": "why the study's owner left the rater out; empty if not",
}


@dataclass
class Collected:
    """What became of filled sheets."""

    new: int = 0
    known: int = 0  # answers that were in the store already
    corrected: int = 0  # answers that took the place of earlier ones
    blank: int = 0
    problems: list[str] = field(default_factory=list)


def filled_sheets(study: RatingStudy) -> list[Path]:
    """The workbooks and CSV files in a study's own folder."""
    return sorted(path for suffix in reading.SUFFIXES for path in study.sheets.glob(f"*/*{suffix}"))


def collect(
    study: RatingStudy, store: ResponseStore, files: Sequence[Path], replace: bool = False
) -> Collected:
    """Takes the answers of filled sheets into the store. Twice changes nothing, and one bad file or cell stops no other.

    Args:
        replace: whether answers that differ from earlier ones take their place, as in a corrected sheet.
    """
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
        _take(study, store, sheet, trials, withdrawn, collected, replace)
    return collected


def _take(
    study: RatingStudy,
    store: ResponseStore,
    sheet: reading.Sheet,
    trials: dict[str, Trial],
    withdrawn: set[str],
    collected: Collected,
    replace: bool,
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
            if replace:
                store.correct(code, response)
                collected.corrected += 1
                continue
            collected.problems.append(
                f"{sheet.path}, {where}: {error}, not {response!r}; the first one counts (--replace takes the last one)"
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

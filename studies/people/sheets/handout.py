"""What each rater is handed: a workbook, a CSV with the pictures beside it, and a printable form beside a numbered deck."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from analysis.people.design import Trial
from common.system.atomic import write_atomically
from studies.people.pictures import Pictures
from studies.people.sheets import printable, workbook
from studies.people.study import Key

CSV_COLUMNS = ("trial", "code", "picture", "answer")


def write(folder: Path, key: Key, pictures: Pictures) -> None:
    """Writes one folder per rater.

    Each rater gets only their own folder: side by side, two raters' pictures of one photograph would show which half never
    changes.
    """
    for rater in dict.fromkeys(trial.rater for trial in key.trials):
        _write_rater(folder / rater, rater, key, pictures)


def _write_rater(folder: Path, rater: str, key: Key, pictures: Pictures) -> None:
    trials = [trial for trial in key.trials if trial.rater == rater]
    shown = {trial.code: pictures.png(trial) for trial in trials}
    (folder / "images").mkdir(parents=True)
    for code, picture in shown.items():
        (folder / "images" / f"{code}.png").write_bytes(picture)
    write_atomically(folder / f"{rater}.csv", _csv(trials))
    code = key.withdrawal_code(rater)
    write_atomically(
        folder / f"{rater}.xlsx", workbook.workbook(rater, code, trials, shown, key.design.test)
    )
    printable.write(folder, rater, code, trials, key.design.test)


def _csv(trials: Sequence[Trial]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    writer.writerows([trial.trial, trial.code, f"images/{trial.code}.png", ""] for trial in trials)
    return buffer.getvalue().encode()

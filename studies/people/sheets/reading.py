"""Reads filled sheets: XLSX and ODS workbooks and CSV files. Each cell that cannot be used is named; the others count."""

import csv
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook

from analysis.people.design import PROTOCOLS, Trial
from common.errors import ColourbenchError, first_line
from common.system.text import decoded
from studies.people.sheets.workbook import SHEET
from studies.people.study import Key

SUFFIXES = (".xlsx", ".ods", ".csv")
NEEDED = ("code", "answer")
LARGEST_CONTENT = 50_000_000  # bytes of an ODS file's text that are looked at


@dataclass(frozen=True)
class Sheet:
    """What a filled sheet says.

    Args:
        answers: trial code -> answer and the cell that it stands in.
        problems: one sentence for each cell that cannot be used.
        blank: the number of trials without an answer.
    """

    path: Path
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    blank: int = 0


def read(path: Path, key: Key) -> Sheet:
    """Reads one filled sheet.

    Raises:
        ColourbenchError: the file is no rating sheet, or all its trials are of another study.
    """
    trials = {trial.code: trial for trial in key.trials}
    rows = list(_rows_of(path))
    codes = [code for _, code, _ in rows]
    if codes and not set(codes) & set(trials):
        raise ColourbenchError(
            f"{path} is a sheet of another study: none of its codes is in the key of {key.study}"
        )
    problems: list[str] = []
    answers: dict[str, tuple[str, str]] = {}
    blank = 0
    for where, code, typed in rows:
        answer = _as_answer(typed, key)
        problem = _problem(code, answer, trials, key, answers)
        if problem:
            problems.append(f"{path}, {where}: {problem}")
        elif not answer:
            blank += 1
        else:
            answers[code] = (answer, where)
    return Sheet(path, answers, problems, blank)


def _as_answer(typed: str, key: Key) -> str:
    """The answer that was meant: `3,0` and `3.0` are 3, `3 fair` and `fair` too, and `no difference` is equal."""
    protocol = PROTOCOLS[key.design.test]
    if not typed or typed in protocol.answers:
        return typed
    if number := re.fullmatch(r"(\d+)[.,]0*", typed):
        return number[1]
    for answer, label in zip(protocol.answers, protocol.labels, strict=True):
        if typed in (label, label.removeprefix(answer).strip()):
            return answer
    return typed


def _problem(
    code: str,
    answer: str,
    trials: Mapping[str, Trial],
    key: Key,
    earlier: Mapping[str, tuple[str, str]],
) -> str:
    """Why a row cannot be used; empty if it can."""
    choices = PROTOCOLS[key.design.test].answers
    if code not in trials:
        return f"the trial {code!r} is not in this study's key"
    if answer.startswith(("=", "#")):
        return f"the answer is a formula or an error of one, {answer!r}; type the answer itself"
    if answer and answer not in choices:
        return f"the answer {answer!r} should be one of {', '.join(choices)}"
    if code in earlier and answer and earlier[code][0] != answer:
        return f"the trial {code} is answered in {earlier[code][1]} already, differently"
    return ""


def _rows_of(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yields where it stands, the trial code and the answer of every row with a code."""
    if path.suffix.lower() not in SUFFIXES:
        raise ColourbenchError(f"{path} is no sheet: {', '.join(SUFFIXES)} can be read")
    try:
        yield from _csv_rows(path) if path.suffix.lower() == ".csv" else _workbook_rows(path)
    except ColourbenchError:
        raise
    except (
        Exception
    ) as error:  # a damaged workbook can raise any exception, depending on the first broken part
        reason = first_line(error)[:120] or type(error).__name__
        raise ColourbenchError(f"{path} cannot be read as a rating sheet: {reason}") from None


def _csv_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    text = decoded(path.read_bytes())
    lines = text.splitlines()
    # Excel's own first line, by which it says how it separates
    skipped = 1 if lines and lines[0].lower().startswith("sep=") else 0
    rows = csv.reader(lines[skipped:], delimiter=_delimiter(lines[skipped:]))
    titles = [title.strip().lower() for title in next(rows, [])]
    code, answer = _columns(titles, path)
    for row in rows:
        if len(row) > code and row[code].strip():  # spreadsheets append empty rows
            yield (
                f"row {rows.line_num + skipped}",
                row[code].strip(),
                row[answer].strip().lower() if len(row) > answer else "",
            )


def _delimiter(lines: Sequence[str]) -> str:
    """What separates the titles: a comma, a semicolon (Excel in many countries) or a tab."""
    titles = lines[0] if lines else ""
    return max(",;\t", key=titles.count)


def _workbook_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    if path.suffix.lower() == ".ods":
        _refuse_formulas(path)
    book = CalamineWorkbook.from_path(str(path))
    name = SHEET if SHEET in book.sheet_names else book.sheet_names[0]
    formulas = _formulas(path, name)
    rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    start = next((number for number, row in enumerate(rows) if set(NEEDED) <= {*_titles(row)}), -1)
    if start < 0:
        raise ColourbenchError(
            f"{path} has no columns {' and '.join(NEEDED)}; do not rename or remove them"
        )
    code, answer = _columns(_titles(rows[start]), path)
    for number, row in enumerate(rows[start + 1 :], start + 2):
        if str(row[code]).strip():
            cell = f"{_letter(answer)}{number}"
            yield f"cell {cell}", str(row[code]).strip(), formulas.get(cell) or _text(row[answer])


def _titles(row: Sequence[Any]) -> list[str]:
    return [str(cell).strip().lower() for cell in row]


def _refuse_formulas(path: Path) -> None:
    """An ODS file's formulas cannot be told from what was typed, so none may be in it."""
    with zipfile.ZipFile(path) as archive, archive.open("content.xml") as content:
        if b"table:formula=" in content.read(LARGEST_CONTENT):
            raise ColourbenchError(f"{path} holds formulas; type the answers themselves")


def _formulas(path: Path, name: str) -> dict[str, str]:
    """The formulas of an XLSX sheet by cell; a value that a formula computed is not what a rater typed."""
    if path.suffix.lower() != ".xlsx":
        return {}
    from openpyxl import load_workbook

    cells = (cell for row in load_workbook(path)[name].iter_rows() for cell in row)
    return {cell.coordinate: str(cell.value) for cell in cells if cell.data_type == "f"}


def _columns(titles: list[str], path: Path) -> tuple[int, int]:
    missing = [name for name in NEEDED if name not in titles]
    if missing:
        raise ColourbenchError(
            f"{path} has no column {' and no column '.join(missing)}; do not rename or remove it"
        )
    return titles.index("code"), titles.index("answer")


def _text(value: object) -> str:
    return (f"{value:g}" if isinstance(value, float) else str(value)).strip().lower()


def _letter(column: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(column + 1))

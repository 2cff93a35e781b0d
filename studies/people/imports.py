"""Anybody's long CSV, one answer a row, as the tidy table that the tables are made from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import pandas as pd

from analysis.people.design import PROTOCOLS, Kind, TestName
from common.errors import ColourbenchError, first_line
from studies.people.collection import TIDY

NEEDED: dict[TestName, tuple[str, ...]] = {
    "pair": ("rater", "image", "arm", "response"),
    "single": ("rater", "image", "arm", "response"),
    "opinion": ("rater", "image", "arm", "response"),
    "preference": ("rater", "image", "arm", "other", "response"),
}
SCORED = ("reference", "image", "score")
MOST_PROBLEMS = 20
OURS = ("rejected", "fetches", "screen", "session", "consent")


def read(
    path: Path, test: TestName, columns: Mapping[str, str], values: Mapping[str, str], study: str
) -> pd.DataFrame:
    """Reads a CSV file with one answer a row.

    Args:
        columns: our name of a column -> the file's; columns of our names need no entry.
        values: the file's answer -> ours, such as 1 -> left. Where the file has no `side`, it is left: the answer "left" to a
            preference is `arm`, and to a pair it is the truth.

    Raises:
        ColourbenchError: a column is missing, or an answer is not one of the test's; the message names column or rows.
    """
    table = _csv(path)
    missing = [ours for ours in NEEDED[test] if columns.get(ours, ours) not in table]
    if missing:
        raise ColourbenchError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(map(str, table.columns))}: "
            f"name them with --column {missing[0]}=NAME"
        )
    theirs = _names_in(columns)
    there = {name: table[column] for name, column in theirs.items() if column in table}
    # columns that the file lacks are empty, whatever they will hold
    tidy = pd.DataFrame(there).reindex(columns=list(TIDY)).astype(object)
    tidy = tidy.assign(study=study, **_filled(tidy, PROTOCOLS[test].two))
    for name in ("response", "side"):
        tidy[name] = [_translated(answer, values) for answer in tidy[name]]
    for name in ("seed", "other_seed", "reaction_ms", "exposure_ms"):
        tidy[name] = pd.to_numeric(tidy[name], errors="coerce")
    _check(tidy, test, path)
    return tidy


def _names_in(columns: Mapping[str, str]) -> dict[str, str]:
    """Our columns -> the file's; what only this suite notes means something else elsewhere, unless it is named."""
    wanted = (name for name in TIDY if name in columns or name not in OURS)
    return {name: columns.get(name, name) for name in wanted}


def _filled(tidy: pd.DataFrame, has_sides: bool) -> dict[str, pd.Series]:
    """Columns with what a file may leave out."""
    return {
        "kind": tidy["kind"].fillna("test"),
        "block": tidy["block"].fillna(1),
        "trial": tidy["trial"].fillna(tidy.groupby("rater").cumcount() + 1),
        "side": tidy["side"].fillna("left" if has_sides else ""),
        "other": tidy["other"].fillna(""),
    }


def _translated(answer: object, values: Mapping[str, str]) -> str:
    text = str(answer).strip()
    return values.get(text, text.lower())


def read_scores(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Reads a CSV file of scored pictures: columns reference, image (file names) and score (a number).

    Raises:
        ColourbenchError: a column is missing, or a score is no number.
    """
    table = _csv(path)
    missing = [ours for ours in SCORED if columns.get(ours, ours) not in table]
    if missing:
        raise ColourbenchError(
            f"{path} has no column for {', '.join(missing)}; it has {', '.join(map(str, table.columns))}: "
            f"name them with --column {missing[0]}=NAME"
        )
    scores = pd.DataFrame({ours: table[columns.get(ours, ours)] for ours in SCORED})
    scores["score"] = pd.to_numeric(scores["score"], errors="coerce")
    if scores.isna().any(axis=None):
        rows = [str(row + 2) for row in scores.index[scores.isna().any(axis=1)][:MOST_PROBLEMS]]
        raise ColourbenchError(f"{path}: rows {', '.join(rows)} lack a name or a number")
    return scores


def _csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            dtype=str,
            sep=None,
            engine="python",
            encoding="utf-8-sig",
            encoding_errors="replace",
            keep_default_na=False,  # somebody may be called NA
            na_values=[""],
        )
    except Exception as error:  # pandas raises parser, decoding and value errors
        raise ColourbenchError(f"{path} cannot be read as CSV: {first_line(error)[:120]}") from None
    if table.empty:
        raise ColourbenchError(f"{path} has no rows below its header")
    return table


def _check(tidy: pd.DataFrame, test: TestName, path: Path) -> None:
    sides = ("left", "right") if PROTOCOLS[test].two else ("",)
    kinds = get_args(Kind)
    strange = ~tidy["kind"].isin(kinds) | ~tidy["side"].isin(sides)
    if strange.any():
        row = int(tidy.index[strange][0])
        found = f"side {tidy['side'][row]!r} and kind {tidy['kind'][row]!r}"
        raise ColourbenchError(
            f"{path}, row {row + 2}: {found}; a side is left or right where two photographs are shown, "
            f"and a kind is {', '.join(kinds)}"
        )
    is_empty = tidy[list(NEEDED[test])].isna().any(axis=1)
    wrong = tidy[~tidy["response"].isin(PROTOCOLS[test].answers) | is_empty]
    if len(wrong):
        raise ColourbenchError(f"{path}: {_unusable(wrong, PROTOCOLS[test].answers)}")


def _unusable(wrong: pd.DataFrame, answers: Sequence[str]) -> str:
    rows = ", ".join(str(row + 2) for row in wrong.index[:MOST_PROBLEMS])
    more = " …" if len(wrong) > MOST_PROBLEMS else ""
    there = ", ".join(sorted(set(wrong["response"].astype(str)))[:5])
    return (
        f"{len(wrong)} rows cannot be used (rows {rows}{more}); answers are {', '.join(answers)}, "
        f"and there are {there}: translate them with --value THEIRS=OURS"
    )

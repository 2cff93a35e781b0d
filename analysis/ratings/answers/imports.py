"""Anybody's long CSV, one answer a row, as the tidy table that the tables are made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pandas as pd

from analysis.ratings.answers.collection import TIDY
from analysis.ratings.design import PROTOCOLS, Kind, TestName
from common.errors import ColourbenchError, first_line

NEEDED: dict[TestName, tuple[str, ...]] = {
    "pair": ("rater", "image", "arm", "response"),
    "single": ("rater", "image", "arm", "response"),
    "opinion": ("rater", "image", "arm", "response"),
    "preference": ("rater", "image", "arm", "other", "response"),
}
SCORED = ("reference", "image", "score")
MOST_PROBLEMS = 20


def read(path: Path, test: TestName, columns: Mapping[str, str], values: Mapping[str, str], study: str) -> pd.DataFrame:
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
    ours = {name: table[columns.get(name, name)] for name in TIDY if columns.get(name, name) in table}
    tidy = pd.DataFrame(ours).reindex(columns=list(TIDY))
    tidy["response"] = [values.get(str(answer).strip(), str(answer).strip().lower()) for answer in tidy["response"]]
    tidy = tidy.astype(object)  # columns that the file lacks are empty, whatever they will hold
    tidy["study"], tidy["kind"], tidy["block"] = study, tidy["kind"].fillna("test"), tidy["block"].fillna(1)
    tidy["trial"] = tidy["trial"].fillna(tidy.groupby("rater").cumcount() + 1)
    sides = tidy["side"].fillna("left" if PROTOCOLS[test].two else "")
    tidy["side"] = [values.get(str(side).strip(), str(side).strip().lower()) for side in sides]
    tidy["other"] = tidy["other"].fillna("")
    for name in ("seed", "other_seed", "reaction_ms", "exposure_ms"):
        tidy[name] = pd.to_numeric(tidy[name], errors="coerce")
    _check(tidy, test, path)
    return tidy


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
        return pd.read_csv(path, dtype=str, sep=None, engine="python", encoding="utf-8-sig", encoding_errors="replace")
    except Exception as error:  # pandas raises parser, decoding and value errors
        raise ColourbenchError(f"{path} cannot be read as CSV: {first_line(error)[:120]}") from None


def _check(tidy: pd.DataFrame, test: TestName, path: Path) -> None:
    sides = ("left", "right") if PROTOCOLS[test].two else ("",)
    strange = ~tidy["kind"].isin(get_args(Kind)) | ~tidy["side"].isin(sides)
    if strange.any():
        row = int(tidy.index[strange][0])
        raise ColourbenchError(
            f"{path}, row {row + 2}: side {tidy['side'][row]!r} and kind {tidy['kind'][row]!r}; a side is left or right where two "
            f"photographs are shown, and a kind is {', '.join(get_args(Kind))}"
        )
    wrong = tidy[~tidy["response"].isin(PROTOCOLS[test].answers) | tidy[list(NEEDED[test])].isna().any(axis=1)]
    if len(wrong):
        rows = ", ".join(str(row + 2) for row in wrong.index[:MOST_PROBLEMS])
        raise ColourbenchError(
            f"{path}: {len(wrong)} rows cannot be used (rows {rows}{' …' if len(wrong) > MOST_PROBLEMS else ''}); answers are "
            f"{', '.join(PROTOCOLS[test].answers)}, and there are {', '.join(sorted(set(wrong['response'].astype(str)))[:5])}: "
            "translate them with --value THEIRS=OURS"
        )

"""Who takes part in a human study: a table of raters, and what its owner notes about them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.people import rates
from common.errors import ColourbenchError
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

COLUMNS = (
    "rater",
    "begun",
    "answers",
    "minutes",
    "vigilance_right",
    "repeats_alike",
    "rejected",
    "paid",
    "withdrawal_code",
    "comment",
)


def table(study: RatingStudy, store: ResponseStore) -> pd.DataFrame:
    """All raters, the first first: when they began, how they answer, whether the rules or the owner reject them."""
    answers = store.table()
    attention = _attention(study, answers)
    rows = []
    for record in store.raters():
        rater = record["rater"]
        own = answers[answers["rater"] == rater]
        known = attention.get(rater, {})
        rows.append(
            {
                "rater": rater,
                "begun": pd.Timestamp(record["began"], unit="s").strftime("%Y-%m-%d %H:%M"),
                "answers": len(own),
                "minutes": round(_minutes(own), 1),
                "vigilance_right": known.get("vigilance_right"),
                "repeats_alike": known.get("repeats_alike"),
                "rejected": known.get("rejected") or record["rejected"] or "",
                "paid": "yes" if record["paid"] else "",
                "withdrawal_code": study.key.withdrawal_code(rater),
                "comment": record["comment"] or "",
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def of_outside_id(study: RatingStudy, store: ResponseStore, outside: str) -> str:
    """The rater who came with this id of a recruiting service.

    Raises:
        ColourbenchError: nobody did.
    """
    record = store.rater(outside=study.keyed(f"outside {outside}"))
    if record is None:
        raise ColourbenchError(
            f"nobody came with the id {outside}; with a STUDY_ID in the address an id is ID/STUDY_ID"
        )
    return str(record["rater"])


def note(store: ResponseStore, raters: Sequence[str], **facts: Any) -> None:
    """Notes something about raters.

    Raises:
        ColourbenchError: there is no such rater; the ones before are noted.
    """
    for rater in raters:
        if store.rater(rater=rater) is None:
            raise ColourbenchError(
                f"there is no rater {rater}; `colourbench ratings raters` lists them"
            )
        store.update_rater(rater, **facts)


def _attention(study: RatingStudy, answers: pd.DataFrame) -> dict[str, dict[str, Any]]:
    if not (answers["kind"] == "test").any():
        return {}
    judged = rates.raters(answers, study.key.design.test).set_index("rater")
    return {str(rater): dict(row) for rater, row in judged.iterrows()}


def _minutes(answers: pd.DataFrame) -> float:
    """From a rater's first answer to the last."""
    if answers.empty:
        return 0.0
    times = answers["time"].astype(float)
    return float(times.max() - times.min()) / 60

"""Verbs about the raters of a human study: who takes part, who is left out or paid, who withdraws."""

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say
from studies.commands.rating_options import AnswersOption, FolderOption, StudyName
from studies.commands.ratings import open_study, store_of

if TYPE_CHECKING:
    import pandas as pd


def raters(
    study: StudyName,
    find: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show only who came with this id of a recruiting service."),
    ] = None,
    reject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RATER", help="Leave a rater's answers out of the tables; needs --why."
        ),
    ] = None,
    why: Annotated[str, typer.Option(help="The reason of --reject; it stands in the tables.")] = "",
    restore: Annotated[
        list[str] | None,
        typer.Option(metavar="RATER", help="Count a rater again whom --reject left out."),
    ] = None,
    paid: Annotated[
        list[str] | None, typer.Option(metavar="RATER", help="Note that a rater is paid.")
    ] = None,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Lists the raters of a study with their attention; looks one up by an outside id; rejects, restores, or notes as paid.

    The store keeps no outside id, only what the study's key makes of it: with the id at hand, --find tells whose it is.

    Example: colourbench ratings raters demo

    Example: colourbench ratings raters demo --find 5f2b8c9d1e

    Example: colourbench ratings raters demo --reject r0a1b2c3d4e --why "told us that a child answered"
    """
    if reject and not why.strip():
        raise ColourbenchError("--reject needs --why: the tables say why answers are left out")
    opened = open_study(folder or open_home(home).ratings(study))
    store = store_of(opened, answers)
    from studies.people import participants

    participants.note(store, reject or (), rejected=why.strip())
    participants.note(store, restore or (), rejected=None)
    participants.note(store, paid or (), paid=True)
    table = participants.table(opened, store)
    if find is not None:
        table = table[table["rater"] == participants.of_outside_id(opened, store, find)]
    say(_as_text(table))


def _as_text(table: "pd.DataFrame") -> str:
    """The table, and below it what raters said: anybody's text, so without what a terminal would obey."""
    if not len(table):
        return "nobody has begun yet"
    said = [
        f"{row['rater']}: {printable(row['comment'])}"
        for row in table.to_dict("records")
        if row["comment"]
    ]
    return "\n".join([table.drop(columns="comment").to_string(index=False), *said])


def printable(text: str) -> str:
    """A text whose control characters are spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def withdraw(
    study: StudyName,
    code: Annotated[str, typer.Argument(help="The code that the rater got at the end.")],
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Removes everything that a rater answered, for good. A keyed hash stays, so that a sheet that comes later is left out.

    Example: colourbench ratings withdraw demo 527D08844129
    """
    opened = open_study(folder or open_home(home).ratings(study))
    store = store_of(opened, answers)
    everybody = {row["rater"] for row in store.raters()} | {
        trial.rater for trial in opened.key.trials
    }
    rater = {opened.key.withdrawal_code(rater): rater for rater in everybody}.get(
        code.strip().upper()
    )
    if rater is None:
        raise ColourbenchError(
            f"no rater of {study} has the code {code}; perhaps a letter is wrong, or it is another study's"
        )
    removed = store.withdraw(rater, opened.keyed(rater))
    (opened.folder / "responses.csv").unlink(missing_ok=True)
    shutil.rmtree(opened.folder / "tables", ignore_errors=True)
    say(
        f"{removed} answers are removed, and the tables that held them; write them again: colourbench ratings tables {study}"
    )

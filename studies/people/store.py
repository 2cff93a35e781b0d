"""The store of a human study's answers: SQLite beside the key, or PostgreSQL by URL. An acknowledged answer is on the disk.

No name, address or outside id is kept: outside ids and browser tokens only as keyed hashes.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from analysis.people.design import Trial
from common.errors import ColourbenchError, first_line
from common.system.atomic import appear_whole
from common.system.locks import locked

if TYPE_CHECKING:
    import pandas as pd

_tables = sql.MetaData()
RATERS = sql.Table(
    "raters",
    _tables,
    sql.Column("rater", sql.String(40), primary_key=True),
    # hash of the browser's cookie; none for a sheet
    sql.Column("token", sql.String(64), unique=True),
    sql.Column("outside", sql.String(64), unique=True),  # hash of a recruiting service's id
    sql.Column("consent", sql.String(64)),  # hash of the text that was agreed to
    sql.Column("age", sql.String(10)),  # a band, if told
    sql.Column("screen", sql.JSON),  # size, brightness and colour plates: passed or not
    sql.Column("began", sql.Float, nullable=False),
    sql.Column("comment", sql.Text),  # what the rater says at the end
    sql.Column("rejected", sql.Text),  # why the study's owner leaves the answers out
    sql.Column("paid", sql.Boolean),
)
TRIALS = sql.Table(
    "trials",
    _tables,
    sql.Column("code", sql.String(40), primary_key=True),
    sql.Column("rater", sql.String(40), nullable=False, index=True),
    sql.Column("block", sql.Integer, nullable=False),
    sql.Column("trial", sql.Integer, nullable=False),
    sql.Column("kind", sql.Text, nullable=False),
    sql.Column("image", sql.Text, nullable=False),
    sql.Column("arm", sql.Text, nullable=False),
    sql.Column("side", sql.Text, nullable=False),
    sql.Column("other", sql.Text, nullable=False),
    sql.Column("seed", sql.Integer),
    sql.Column("other_seed", sql.Integer),
    sql.Column("dealt", sql.Float, nullable=False),
    # of its picture: more than one where the page was reloaded
    sql.Column("fetches", sql.Integer, nullable=False, default=0),
)
ANSWERS = sql.Table(
    "answers",
    _tables,
    sql.Column("code", sql.String(40), primary_key=True),
    sql.Column("response", sql.String(20), nullable=False),
    sql.Column("session", sql.String(200), nullable=False),
    sql.Column("idempotency", sql.String(64), nullable=False),
    sql.Column("requested_ms", sql.Float),
    sql.Column("exposure_ms", sql.Float),
    sql.Column("reaction_ms", sql.Float),
    sql.Column("time", sql.Float),
    sql.Column("focus_lost", sql.Boolean),
    sql.Column("full_screen", sql.Boolean),
    sql.Column("shown_px", sql.Float),  # shorter side of a photograph on the screen, in CSS pixels
    sql.Column("pixel_ratio", sql.Float),  # of the screen's own pixels to CSS pixels
)
WITHDRAWN = sql.Table(  # who withdrew, as a keyed hash: a sheet that comes later must stay out
    "withdrawn",
    _tables,
    sql.Column("who", sql.String(64), primary_key=True),
    sql.Column("day", sql.Integer),
    sql.Column("answers", sql.Integer),
)


@dataclass(frozen=True)
class Answer:
    """A rater's answer to a trial. Sheets record no times."""

    code: str
    response: str
    session: str
    idempotency: str
    requested_ms: float | None = None
    exposure_ms: float | None = None  # measured
    reaction_ms: float | None = None  # from the first frame to the answer
    focus_lost: bool | None = None
    full_screen: bool | None = None
    shown_px: float | None = None
    pixel_ratio: float | None = None


class Contradiction(ColourbenchError):
    """A trial has another answer already."""


class Withdrawn(ColourbenchError):
    """The rater took all answers back."""


class ResponseStore:
    """Raters, their trials and answers."""

    def __init__(self, url: str) -> None:
        """Opens the store, and makes its tables where they are missing.

        Raises:
            ColourbenchError: the store cannot be opened.
        """
        try:
            self._engine = _engine(url)
            if self._engine.dialect.name == "sqlite":
                _make_file(Path(str(self._engine.url.database)))
            else:
                _tables.create_all(self._engine)
            # a damaged store shows itself now, and not to a rater
            with self._engine.connect() as connection:
                for table in _tables.sorted_tables:
                    connection.execute(sql.select(table).limit(1)).all()
        except Exception as error:  # SQLAlchemy's drivers raise their own types
            shown = (
                sql.engine.make_url(url).render_as_string(hide_password=True)
                if "://" in url
                else url
            )
            raise ColourbenchError(
                f"cannot open the store of answers {shown}: {first_line(error)[:200]}"
            ) from None

    def close(self) -> None:
        """Closes its connections."""
        self._engine.dispose()

    def add_rater(self, rater: str, **facts: Any) -> None:
        """Adds a rater.

        Raises:
            sqlalchemy.exc.IntegrityError: the rater, token or outside id exists already.
        """
        with self._writing() as connection:
            connection.execute(RATERS.insert().values(rater=rater, began=time.time(), **facts))

    def rater(self, **fact: str) -> dict[str, Any] | None:
        """The rater with this `token`, `outside` id or `rater` id, if there is one."""
        ((column, value),) = fact.items()
        with self._engine.connect() as connection:
            found = connection.execute(sql.select(RATERS).where(RATERS.c[column] == value))
            row = found.mappings().first()
        return dict(row) if row else None

    def update_rater(self, rater: str, **facts: Any) -> None:
        """Changes what is known of a rater."""
        with self._writing() as connection:
            connection.execute(RATERS.update().where(RATERS.c.rater == rater).values(**facts))

    def add_sheet(self, trials: Sequence[Trial]) -> None:
        """Adds the rater of a sheet with all its trials, or what is missing of them, in one transaction."""
        (rater,) = {trial.rater for trial in trials}
        with self._writing() as connection:
            there = connection.execute(
                RATERS.update().where(RATERS.c.rater == rater).values(rater=rater)
            ).rowcount
            if not there:
                connection.execute(RATERS.insert().values(rater=rater, began=time.time()))
            codes = sql.select(TRIALS.c.code).where(TRIALS.c.rater == rater)
            known = set(connection.execute(codes).scalars())
            if missing := [_row(trial) for trial in trials if trial.code not in known]:
                connection.execute(TRIALS.insert(), missing)

    def deal(self, trials: Sequence[Trial]) -> None:
        """Adds a rater's trials, all or none.

        Raises:
            Withdrawn: the rater is not there any more.
        """
        (rater,) = {trial.rater for trial in trials}
        with self._writing() as connection:
            # an update locks the rater: whoever withdraws meanwhile waits, or was first
            if not connection.execute(
                RATERS.update().where(RATERS.c.rater == rater).values(rater=rater)
            ).rowcount:
                raise Withdrawn("this rater has withdrawn")
            connection.execute(TRIALS.insert(), [_row(trial) for trial in trials])

    def trials(self, rater: str | None = None, since: float | None = None) -> list[Trial]:
        """The trials of one rater, or of all; with `since`, only those that have an answer or were dealt later."""
        query = sql.select(*(TRIALS.c[field.name] for field in fields(Trial))).order_by(
            TRIALS.c.block, TRIALS.c.trial
        )
        if rater is not None:
            query = query.where(TRIALS.c.rater == rater)
        if since is not None:
            answered = sql.exists().where(ANSWERS.c.code == TRIALS.c.code)
            query = query.where(answered | (TRIALS.c.dealt >= since))
        with self._engine.connect() as connection:
            return [Trial(**row) for row in connection.execute(query).mappings()]

    def fetched(self, code: str) -> None:
        """Counts one fetch of a trial's picture."""
        with self._writing() as connection:
            connection.execute(
                TRIALS.update().where(TRIALS.c.code == code).values(fetches=TRIALS.c.fetches + 1)
            )

    def answered(self, rater: str) -> set[str]:
        """The codes of the trials that a rater has answered."""
        codes = (
            sql.select(ANSWERS.c.code)
            .join(TRIALS, TRIALS.c.code == ANSWERS.c.code)
            .where(TRIALS.c.rater == rater)
        )
        with self._engine.connect() as connection:
            return set(connection.execute(codes).scalars())

    def answer(self, answer: Answer) -> bool:
        """Keeps an answer durably; returns False where the same answer is there already, so that sending twice changes nothing.

        Raises:
            Contradiction: the trial has another answer, which stays.
            Withdrawn: the trial is not there any more.
        """
        trial = TRIALS.update().where(TRIALS.c.code == answer.code).values(fetches=TRIALS.c.fetches)
        try:
            with self._writing() as connection:
                if not connection.execute(trial).rowcount:
                    raise Withdrawn("this rater has withdrawn")
                connection.execute(ANSWERS.insert().values(**asdict(answer), time=time.time()))
            return True
        except sql.exc.IntegrityError:
            with self._engine.connect() as connection:
                kept = sql.select(ANSWERS.c.response).where(ANSWERS.c.code == answer.code)
                given = connection.execute(kept).scalar_one()
            if given != answer.response:
                raise Contradiction(f"the trial has the answer {given!r} already") from None
            return False

    def correct(self, code: str, response: str) -> None:
        """Puts another answer in the place of one that is there, as a corrected sheet asks."""
        with self._writing() as connection:
            old = ANSWERS.update().where(ANSWERS.c.code == code)
            connection.execute(old.values(response=response, time=time.time()))

    def table(self) -> "pd.DataFrame":
        """All answers with what they were about, in the order of the trials."""
        import pandas as pd  # the page does without it

        query = (
            sql.select(
                TRIALS,
                RATERS.c.consent,
                RATERS.c.age,
                RATERS.c.screen,
                RATERS.c.rejected,
                *(column for column in ANSWERS.c if column.name != "code"),
            )
            .join(ANSWERS, ANSWERS.c.code == TRIALS.c.code)
            .join(RATERS, RATERS.c.rater == TRIALS.c.rater)
            .order_by(TRIALS.c.rater, TRIALS.c.block, TRIALS.c.trial)
        )
        with self._engine.connect() as connection:
            return pd.DataFrame(
                connection.execute(query).mappings().all(),
                columns=[column.name for column in query.selected_columns],
            )

    def raters(self) -> list[dict[str, Any]]:
        """All raters, the first first."""
        query = sql.select(RATERS).order_by(RATERS.c.began)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def taking_part(self, since: float) -> int:
        """How many raters have answered something or have begun after `since` (s); who only looked in does not count."""
        joined = TRIALS.join(ANSWERS, TRIALS.c.code == ANSWERS.c.code)
        answered = sql.select(TRIALS.c.rater).select_from(joined)
        counts = sql.or_(RATERS.c.rater.in_(answered), RATERS.c.began >= since)
        with self._engine.connect() as connection:
            query = sql.select(sql.func.count()).select_from(RATERS).where(counts)
            return int(connection.execute(query).scalar_one())

    def withdraw(self, rater: str, who: str) -> int:
        """Removes a rater with all trials and answers, and keeps `who`, a hash; returns the number of answers removed."""
        codes = sql.select(TRIALS.c.code).where(TRIALS.c.rater == rater)
        with self._writing() as connection:
            removed = connection.execute(ANSWERS.delete().where(ANSWERS.c.code.in_(codes))).rowcount
            connection.execute(TRIALS.delete().where(TRIALS.c.rater == rater))
            connection.execute(RATERS.delete().where(RATERS.c.rater == rater))
            connection.execute(
                WITHDRAWN.insert().values(who=who, day=int(time.time() // 86400), answers=removed)
            )
        if self._engine.dialect.name == "sqlite":
            # what was removed must not stay in the write-ahead log
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(removed)

    def withdrawn(self) -> set[str]:
        """The hashes of those who have withdrawn."""
        with self._engine.connect() as connection:
            return set(connection.execute(sql.select(WITHDRAWN.c.who)).scalars())

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection


def _row(trial: Trial) -> dict[str, Any]:
    return asdict(trial) | {"dealt": time.time(), "fetches": 0}


def _engine(url: str) -> sql.Engine:
    if not url.startswith("sqlite"):
        return sql.create_engine(url, pool_pre_ping=True)
    engine = sql.create_engine(url, connect_args={"timeout": 30})

    @sql.event.listens_for(engine, "connect")
    def durable(connection: Any, _: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _make_file(path: Path) -> None:
    def make(beside: Path) -> None:
        engine = sql.create_engine(f"sqlite:///{beside}")
        _tables.create_all(engine)
        engine.dispose()

    # two processes must not make it at once
    with locked(path.with_name(f".{path.name}.lock")):
        appear_whole(path, make)

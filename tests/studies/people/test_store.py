"""The store of answers: once and only once, on SQLite and on PostgreSQL, under load."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analysis.people.design import Design, Trial
from common.errors import ColourbenchError
from studies.people.store import Answer, Contradiction, ResponseStore, Withdrawn
from studies.people.study import RatingStudy


@pytest.fixture
def trials(store: ResponseStore, make_study: Callable[..., RatingStudy]) -> list[Trial]:
    """A rater with twelve trials in the store."""
    trials = make_study(Design("pair", 1, 12)).key.trials
    store.add_rater("rater-01")
    store.deal(trials)
    return trials


def test_the_same_answer_twice_is_one_row_and_another_is_refused(
    store: ResponseStore, trials: list[Trial]
) -> None:
    answer = Answer(trials[0].code, "left", "s", "k1", 1000.0, 1001.5, 800.0, False, True)
    assert store.answer(answer) and not store.answer(answer)
    with pytest.raises(Contradiction, match="'left' already"):
        store.answer(Answer(trials[0].code, "right", "s", "k2"))
    [row] = store.table().to_dict("records")
    assert (row["response"], row["exposure_ms"], row["full_screen"], row["image"]) == (
        "left",
        1001.5,
        True,
        trials[0].image,
    )


def test_sqlite_is_durable(store: ResponseStore, trials: list[Trial], tmp_path: Path) -> None:
    """Write-ahead log with a full sync: what is acknowledged survives a power cut."""
    with store._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_withdrawal_leaves_nothing(
    store: ResponseStore, trials: list[Trial], tmp_path: Path
) -> None:
    for trial in trials[:5]:
        store.answer(Answer(trial.code, "left", "a-session-word", "k"))
    assert store.withdraw("rater-01", "hash") == 5
    assert (
        store.table().empty
        and store.trials() == []
        and store.raters() == []
        and store.withdrawn() == {"hash"}
    )
    # whoever looks at the files while the store is open finds nothing either, in the write-ahead log for instance
    data = b"".join(path.read_bytes() for path in tmp_path.glob("responses.db*"))
    assert b"a-session-word" not in data and trials[0].code.encode() not in data
    store.close()
    data = b"".join(path.read_bytes() for path in tmp_path.glob("responses.db*"))
    assert b"a-session-word" not in data and trials[0].code.encode() not in data


def test_trials_that_were_left_are_forgotten_in_the_balance(
    store: ResponseStore, trials: list[Trial]
) -> None:
    store.answer(Answer(trials[0].code, "left", "s", "k"))
    assert len(store.trials(since=0)) == 12 and [t.code for t in store.trials(since=1e12)] == [
        trials[0].code
    ]


def test_fifty_writers_lose_nothing(store: ResponseStore) -> None:
    def write(number: int) -> None:
        rater = f"r{number}"
        store.add_rater(rater)
        own_trials = [
            Trial(f"f{number:03d}{k:03d}", rater, k + 1, "test", f"i{k}", "cgan", "left", 0)
            for k in range(8)
        ]
        store.deal(own_trials)
        for trial in own_trials:
            store.answer(Answer(trial.code, "left", "s", trial.code))

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(write, range(50)))
    assert len(store.table()) == 400 and store.table()["code"].nunique() == 400


def test_a_store_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(
        ColourbenchError,
        match=r"cannot open the store of answers postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x",
    ):
        ResponseStore("postgresql+psycopg://me:secret@127.0.0.1:1/x")
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with pytest.raises(ColourbenchError, match="file is not a database"):
        ResponseStore(f"sqlite:///{tmp_path / 'broken.db'}")


def test_what_comes_after_a_withdrawal_is_refused(
    store: ResponseStore, trials: list[Trial]
) -> None:
    store.withdraw("rater-01", "hash")
    with pytest.raises(Withdrawn):
        store.answer(Answer(trials[0].code, "left", "s", "k"))
    with pytest.raises(Withdrawn):
        store.deal(trials)
    assert store.table().empty and store.trials() == []


def test_a_sheet_that_was_half_added_is_completed(
    store: ResponseStore, make_study: Callable[..., RatingStudy]
) -> None:
    sheet = make_study(Design("pair", 1, 12)).key.trials
    store.add_rater("rater-01")  # killed before its trials
    for _ in range(2):
        store.add_sheet(sheet)
    assert store.trials() == sheet

"""The list of raters, and what a study's owner notes about them."""

import time
from collections.abc import Callable

import pytest

from analysis.people import rates
from analysis.people.design import RANDOM, Design
from common.errors import ColourbenchError
from studies.people import participants
from studies.people.collection import tidy
from studies.people.store import Answer, ResponseStore
from studies.people.study import RatingStudy


@pytest.fixture
def study(make_study: Callable[..., RatingStudy], store: ResponseStore) -> RatingStudy:
    """Two raters who look; the second came with an outside id, and has not answered."""
    opened = make_study(Design("single", 0, 10), sheets=False)
    schedule = opened.key.schedule
    store.add_rater("first")
    time.sleep(0.01)
    store.add_rater("second", outside=opened.keyed("outside P77"))
    trials = schedule.block("first", 1, [])
    store.deal(trials)
    for trial in trials:
        store.fetched(trial.code)
        response = "fake" if trial.arm == RANDOM else ("real", "fake")[trial.trial % 2]
        store.answer(Answer(trial.code, response, "s", trial.code, 0.0, 900.0, 900.0))
    return opened


def test_everybody_is_listed(study: RatingStudy, store: ResponseStore) -> None:
    table = participants.table(study, store).set_index("rater")
    assert list(table.index) == ["first", "second"]
    assert table.loc["first", "answers"] == 10
    assert table.loc["first", "vigilance_right"] == 1.0
    assert table.loc["second", "answers"] == 0
    codes = [study.key.withdrawal_code(rater) for rater in table.index]
    assert list(table["withdrawal_code"]) == codes


def test_an_outside_id_leads_to_its_rater(study: RatingStudy, store: ResponseStore) -> None:
    assert participants.of_outside_id(study, store, "P77") == "second"
    with pytest.raises(ColourbenchError, match="nobody came with the id P78"):
        participants.of_outside_id(study, store, "P78")


def test_who_is_rejected_by_the_owner_is_left_out_with_the_reason(
    study: RatingStudy, store: ResponseStore
) -> None:
    assert len(rates.kept(tidy(study, store), "single")) == 10
    participants.note(store, ["first"], rejected="a child answered")
    assert len(rates.kept(tidy(study, store), "single")) == 0
    [row] = rates.raters(tidy(study, store), "single").to_dict("records")
    assert row["rejected"] == "by the study's owner: a child answered"
    participants.note(store, ["first"], rejected=None)
    assert len(rates.kept(tidy(study, store), "single")) == 10


def test_who_is_paid_is_noted(study: RatingStudy, store: ResponseStore) -> None:
    participants.note(store, ["second"], paid=True)
    assert list(participants.table(study, store)["paid"]) == ["", "yes"]
    with pytest.raises(ColourbenchError, match="there is no rater third"):
        participants.note(store, ["third"], paid=True)


def test_a_failed_screen_is_shown_as_the_tables_see_it(
    study: RatingStudy, store: ResponseStore
) -> None:
    store.update_rater("first", screen={"size": True, "brightness": True, "colour": False})
    listed = participants.table(study, store).set_index("rater").loc["first", "rejected"]
    [row] = rates.raters(tidy(study, store), "single").to_dict("records")
    assert listed == row["rejected"] == "a check of colour vision or screen is not passed"

"""How a rater's part can end: done, inattentive, screened out, full, without consent; and what the rater has at each point."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.people.design import RANDOM, Design
from common.errors import ColourbenchError
from studies.pages.ratings.sessions import Sessions
from studies.pages.ratings.settings import OUTCOMES, PageSettings

MakeSessions = Callable[..., Sessions]
Rater = Any
DONE = "https://example.org/done"
URLS = {outcome: f"https://example.org/{outcome}" for outcome in OUTCOMES}


def answer_honestly(rater: Rater, *, attentive: bool = True) -> dict[str, Any]:
    """Answers everything; random colours rightly or wrongly, the rest alternately."""
    trials = {trial.code: trial for trial in rater.sessions.store.trials(rater.id)}
    state = rater.state()
    while state["stage"] == "trial":
        rater.client.get(state["picture"])
        trial = trials[state["code"]]
        response = ("real", "fake")[trial.trial % 2]
        if trial.arm == RANDOM:
            response = "fake" if attentive else "real"
        state = rater.post("/answer", rater.reply(state, response))["state"]
    return dict(state)


@pytest.fixture
def many(make_study: Callable[..., Any]) -> Design:
    """As long a block as the small study's photographs allow."""
    return Design("single", 0, 10, practice=0)


@pytest.mark.parametrize("attentive", [True, False])
def test_attention_decides_where_a_rater_goes(
    attentive: bool, many: Design, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    rater = make_rater(make_sessions(many, completion_url=DONE, outcome_urls=URLS))
    rater.begin()
    end = answer_honestly(rater, attentive=attentive)
    assert end["completion_url"] == (DONE if attentive else URLS["attention"])


def test_without_an_address_of_its_own_nobody_is_told_apart(
    many: Design, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    rater = make_rater(make_sessions(many, completion_url=DONE))
    rater.begin()
    assert answer_honestly(rater, attentive=False)["completion_url"] == DONE


def test_who_is_screened_out_leaves_before_the_first_trial(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(outcome_urls=URLS)
    rater = make_rater(sessions)
    rater.post("/begin", rater.begin_with)
    seen = {"width": 1280, "height": 800, "numbers": ["", "", "", ""]}
    state = rater.post("/screen", seen)
    assert state["stage"] == "leave"
    assert state["completion_url"] == URLS["screened_out"]
    assert rater.state() == state
    assert not sessions.store.trials(rater.id)


def test_a_full_study_says_where_to_go(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(outcome_urls=URLS, most_raters=1)
    make_rater(sessions).begin()
    late = make_rater(sessions)
    refused = late.post("/begin", late.begin_with, 409)
    assert refused["kind"] == "full"
    assert refused["completion_url"] == URLS["full"]


def test_who_does_not_consent_can_say_so(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    assert make_rater(make_sessions(outcome_urls=URLS)).state()["decline_url"] == URLS["no_consent"]


def test_leavers_have_their_code_from_the_start(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    state = rater.begin()
    assert state["withdrawal_code"] == sessions.study.key.withdrawal_code(rater.id)


def test_one_block_unless_more_are_asked_for(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    rater = make_rater(make_sessions(Design("pair", 0, 6, practice=0)))
    rater.begin()
    assert rater.answer_all()["more"] is False
    assert "all that was asked for" in rater.post("/more", {}, 409)["error"]


def test_the_way_back_does_not_disappear_in_another_block(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    design = Design("pair", 0, 6, practice=0)
    rater = make_rater(make_sessions(design, completion_url=DONE, most_blocks=2))
    assert rater.begin()["completion_url"] is None  # nothing is done yet
    assert rater.answer_all()["completion_url"] == DONE
    assert rater.post("/more", {})["completion_url"] == DONE


def test_all_pictures_of_a_block_are_named_before_it_begins(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    state = rater.begin()
    trials = sessions.store.trials(rater.id)
    assert state["pictures"] == [f"picture/{trial.code}" for trial in trials]
    rater.client.get(state["picture"])
    later = rater.post("/answer", rater.reply(state, "left"))["state"]
    assert later["pictures"] == []


def test_answers_without_looking_are_left_out(
    many: Design, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    """A program that answers does not fetch pictures."""
    rater = make_rater(make_sessions(many, completion_url=DONE, outcome_urls=URLS))
    state = rater.begin()
    number = 0
    while state["stage"] == "trial":
        number += 1
        response = ("real", "fake")[number % 2]
        state = rater.post("/answer", rater.reply(state, response))["state"]
    assert state["completion_url"] == URLS["attention"]


def test_a_last_word_is_kept(make_sessions: MakeSessions, make_rater: type[Rater]) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    rater.begin()
    rater.post("/comment", {"text": "Too many dogs."})
    assert sessions.store.raters()[0]["comment"] == "Too many dogs."
    rater.post("/comment", {"text": "x" * 2001}, 422)


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ({"finished": DONE}, "the outcomes are attention, screened_out, full, no_consent"),
        ({"full": "javascript:alert(1)"}, "must begin with http"),
    ],
)
def test_outcomes_and_addresses_are_checked(urls: dict[str, str], reason: str) -> None:
    with pytest.raises(ColourbenchError, match=reason):
        PageSettings(outcome_urls=urls)


def test_addresses_hold_after_a_restart(tmp_path: Path) -> None:
    first = PageSettings.of(tmp_path, ("h",), outcome_urls=URLS, most_blocks=3)
    first.keep(tmp_path)
    assert PageSettings.of(tmp_path, ("h",)) == first


def test_one_address_can_be_changed_or_taken_back_alone(tmp_path: Path) -> None:
    PageSettings.of(tmp_path, ("h",), outcome_urls=URLS).keep(tmp_path)
    changed = PageSettings.of(tmp_path, ("h",), outcome_urls={"full": DONE, "screened_out": ""})
    assert changed.outcome_urls["full"] == DONE
    assert changed.outcome_urls["attention"] == URLS["attention"]
    assert "screened_out" not in changed.outcome_urls

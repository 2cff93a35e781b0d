"""The page without a browser: whole sessions, what is refused, and that no reply tells what a rater must not know."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.people.design import PROTOCOLS, RANDOM, TESTS, TRUTH, Design, TestName, Trial
from common.errors import ColourbenchError
from studies.pages.ratings.app import admin_key
from studies.pages.ratings.sessions import Sessions
from studies.pages.ratings.settings import PageSettings
from studies.people.collection import TIDY, tidy
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

MakeSessions = Callable[..., Sessions]
Rater = Any


@pytest.mark.parametrize("test", TESTS)
def test_a_whole_session_becomes_tidy_rows(
    test: TestName, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(Design(test, 0, 8, practice=2))
    rater = make_rater(sessions, age="30-44")
    first = rater.begin()
    assert (first["stage"], first["practice"], first["first"], first["total"]) == (
        "trial",
        True,
        True,
        2,
    )
    end = rater.answer_all()
    assert end["stage"] == "end" and end["withdrawal_code"] == sessions.study.key.withdrawal_code(
        rater.id
    )
    table = tidy(sessions.study, sessions.store)
    assert list(table.columns) == list(TIDY) and len(table) == 10
    assert table["kind"].value_counts().to_dict() == {
        "test": 6,
        "practice": 2,
        "vigilance": 1,
        "repeat": 1,
    }
    assert set(table["consent"]) == {sessions.settings.consent_version}
    assert set(table["response"]) == {PROTOCOLS[test].answers[0]} and set(table["exposure_ms"]) == {
        1001.0
    }
    assert (table["fetches"] == 1).all()


def test_a_reload_goes_on_and_another_browser_is_another_rater(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    state = rater.begin()
    after = rater.post("/answer", rater.reply(state, "left"))["state"]
    assert rater.state() == after and rater.state()["code"] != state["code"]
    other = make_rater(sessions)
    assert other.state()["stage"] == "consent"
    other.begin()
    assert len(sessions.store.raters()) == 2 and other.id != rater.id


def test_an_outside_id_is_one_rater_in_any_browser_and_is_not_kept(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(completion_url="https://example.org/done?cc=1")
    first = make_rater(sessions, outside="5f0c/study")
    state = first.begin()
    first.post("/answer", first.reply(state, "left"))
    again = make_rater(sessions, outside="5f0c/study")
    refused = again.post("/begin", again.begin_with, 409)
    assert refused == {"error": "You have begun in another browser.", "kind": "elsewhere"}
    assert first.state()["stage"] == "trial"  # nothing is taken over unasked
    again.post("/begin", again.begin_with | {"take_over": True})
    assert again.state()["stage"] == "trial" and len(sessions.store.raters()) == 1
    assert again.answer_all()["completion_url"] == "https://example.org/done?cc=1"
    assert "5f0c" not in json.dumps(sessions.store.raters(), default=str)
    # the earlier browser's token has ended
    assert first.client.get("/state").json()["stage"] == "consent"


@pytest.mark.parametrize("test", ["opinion", "preference"])
def test_practice_of_what_is_a_matter_of_taste_has_no_right_answer(
    test: TestName, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    rater = make_rater(make_sessions(Design(test, 0, 8, practice=2)))
    state = rater.begin()
    assert state["practice"]
    assert rater.post("/answer", rater.reply(state, state["answers"][0]["value"]))["right"] is None


def test_two_windows_of_one_browser_are_one_rater(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    for _ in range(2):  # a second window, or a second click on Begin
        rater.post("/begin", rater.begin_with)
    assert len(sessions.store.raters()) == 1


def test_the_next_person_at_a_browser_is_another_rater(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions, outside="first/s")
    rater.begin()
    assert rater.client.get("/state", params={"outside": "second/s"}).json()["stage"] == "consent"
    rater.post("/begin", {**rater.begin_with, "outside": "second/s"})
    assert len(sessions.store.raters()) == 2 and rater.state()["stage"] == "screen"
    assert rater.post("/leave", {})["stage"] == "consent" and rater.state()["stage"] == "consent"


def test_a_changed_consent_text_is_asked_for_again(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    rater.begin()
    later = Sessions(
        sessions.study, sessions.store, PageSettings(consent="Another text.", hosts=("127.0.0.1",))
    )
    again = make_rater(later)
    again.client.cookies = rater.client.cookies
    assert again.state()["stage"] == "consent"
    again.post("/begin", again.begin_with)
    assert again.state()["stage"] == "trial" and len(sessions.store.raters()) == 1
    assert sessions.store.raters()[0]["consent"] == later.settings.consent_version


def test_a_rater_who_withdrew_is_told_and_leaves_nothing(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    state = rater.begin()
    sessions.store.withdraw(rater.id, "hash")
    reply = rater.client.post("/answer", json=rater.reply(state, "left"))
    assert (
        reply.status_code == 401
        and rater.state()["stage"] == "consent"
        and sessions.store.table().empty
    )


def test_sheets_that_were_collected_count_once_in_the_balance(
    make_study: Callable[..., RatingStudy], store: ResponseStore, make_rater: type[Rater]
) -> None:
    study = make_study(Design("pair", 2, 8))
    store.add_sheet([trial for trial in study.key.trials if trial.rater == "rater-01"])
    sessions = Sessions(study, store, PageSettings(hosts=("127.0.0.1",)))
    counted: list[Trial] = []
    dealt = sessions._schedule.block

    def block(rater: str, number: int, before: list[Trial]) -> list[Trial]:
        counted.extend(before)
        return dealt(rater, number, before)

    object.__setattr__(sessions._schedule, "block", block)
    make_rater(sessions).begin()
    assert len(counted) == len({trial.code for trial in counted}) == 16


def test_practice_tells_the_right_answer_and_the_test_does_not(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    state, sides = rater.begin(), {}
    for trial in sessions.store.trials(rater.id):
        sides[trial.code] = trial.side
    while state["stage"] == "trial":
        reply = rater.post("/answer", rater.reply(state, "left"))
        assert reply["right"] == (sides[state["code"]] if state["practice"] else None)
        state = reply["state"]


@pytest.mark.parametrize("test", TESTS)
def test_no_reply_tells_what_a_trial_is(
    test: TestName, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    """Test, vigilance and repeat look alike: the same fields, the same picture size, no names, no metadata."""
    sessions = make_sessions(Design(test, 0, 8, practice=0))
    rater = make_rater(sessions)
    state, told, sizes, fields, headers = rater.begin(), "", set(), set(), set()
    while state["stage"] == "trial":
        picture = rater.client.get(state["picture"])
        sizes.add(len(picture.content))
        headers.add(tuple(sorted((k, v) for k, v in picture.headers.items() if k not in ("date",))))
        with Image.open(io.BytesIO(picture.content)) as image:
            assert not image.info
        fields.add(tuple(sorted(state)))
        told += json.dumps(
            {name: value for name, value in state.items() if name not in ("question", "answers")}
        )
        state = rater.post("/answer", rater.reply(state, state["answers"][0]["value"]))["state"]
    words = (
        *sessions.study.key.arms,
        *sessions.study.key.images,
        TRUTH,
        RANDOM,
        "vigilance",
        "repeat",
        'test"',
    )
    assert (
        not [word for word in words if word in told]
        and len(sizes) == len(fields) == len(headers) == 1
    )


def test_only_the_next_trial_of_ones_own_can_be_answered_once(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater, other = make_rater(sessions), make_rater(sessions)
    state, others = rater.begin(), other.begin()
    trials = sessions.store.trials(rater.id)
    later = rater.reply(state, "left", code=trials[3].code)
    assert "not the next question" in rater.post("/answer", later, 409)["error"]
    assert (
        "not the next question" in rater.post("/answer", rater.reply(others, "left"), 409)["error"]
    )
    assert (
        "must be one of left, right"
        in rater.post("/answer", rater.reply(state, "real"), 409)["error"]
    )
    assert rater.client.get(others["picture"]).status_code == 409
    first = rater.post("/answer", rater.reply(state, "left"))
    # sent twice: one row
    assert rater.post("/answer", rater.reply(state, "left"))["state"] == first["state"]
    assert "'left' already" in rater.post("/answer", rater.reply(state, "right"), 409)["error"]
    assert len(sessions.store.table()) == 1


def test_a_rater_may_do_another_block_with_other_photographs(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(Design("pair", 0, 6, practice=0), most_blocks=3)
    rater = make_rater(sessions)
    rater.begin()
    assert "answer the questions" in rater.post("/more", {}, 409)["error"]
    assert rater.answer_all()["more"] is True
    rater.post("/more", {})
    assert rater.answer_all()["more"] is False
    assert "no photographs left" in rater.post("/more", {}, 409)["error"]
    shown = [t.image for t in sessions.store.trials(rater.id) if t.kind != "repeat"]
    assert len(shown) == len(set(shown)) == 10


def test_cells_fill_evenly_over_many_raters(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions(Design("pair", 0, 8, practice=0))
    for _ in range(8):
        rater = make_rater(sessions)
        rater.begin()
        rater.answer_all()
    data = rater.client.get("/admin/data", headers={"X-Key": admin_key(sessions)}).json()
    assert data["raters"]["finished a block"] == 8 and data["answers"]["test"] == 48
    assert data["cells"]["most"] - data["cells"]["least"] <= 1 and data["cells"]["cells"] == 36


def test_the_screen_check_keeps_pass_or_fail_only(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    rater.post("/begin", rater.begin_with)
    wrong = [*rater.right_numbers()[:2], "", "1"]
    rater.post("/screen", {"width": 300, "height": 800, "numbers": wrong})
    [known] = sessions.store.raters()
    assert known["screen"] == {"size": False, "brightness": True, "colour": False}
    for plate in range(4):
        with Image.open(io.BytesIO(rater.client.get(f"/plate/{plate}").content)) as image:
            assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 3
    assert rater.client.get("/plate/4").status_code == 422


def test_consent_to_another_text_is_refused(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    rater = make_rater(make_sessions(), consent="0" * 64)
    assert "has changed" in rater.post("/begin", rater.begin_with, 409)["error"]


def test_a_full_study_takes_nobody(
    make_sessions: MakeSessions, make_rater: type[Rater], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = make_sessions(most_raters=1)
    first = make_rater(sessions)
    state = first.begin()
    late = make_rater(sessions)
    # while the first may still answer
    assert "all the raters that it needs" in late.post("/begin", late.begin_with, 409)["error"]
    # who only looked in makes room
    monkeypatch.setattr("studies.pages.ratings.sessions.ABANDONED_SECONDS", -1.0)
    assert late.post("/begin", late.begin_with)["stage"] == "screen"
    first.post("/answer", first.reply(state, "left"))
    last = make_rater(sessions)
    assert "all the raters that it needs" in last.post("/begin", last.begin_with, 409)["error"]


@pytest.mark.parametrize(
    "outside", ["{{%PROLIFIC_PID%}}", "{{%PROLIFIC_PID%}}/s", "${e://Field/id}", "%7B%7BID%7D%7D"]
)
def test_a_link_that_was_not_filled_in_is_refused(
    outside: str, make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    """Otherwise all its visitors would be one rater."""
    rater = make_rater(make_sessions(), outside=outside)
    assert "not filled in" in rater.post("/begin", rater.begin_with, 409)["error"]
    assert rater.sessions.store.raters() == []


def test_an_id_can_be_required(make_sessions: MakeSessions, make_rater: type[Rater]) -> None:
    sessions = make_sessions(required_id="survey_code")
    nobody = make_rater(sessions)
    assert nobody.client.get("/ids").json() == {"names": ["survey_code"]}
    assert "who you are" in nobody.post("/begin", nobody.begin_with, 409)["error"]
    assert make_rater(sessions, outside="17").begin()["stage"] == "trial"
    with pytest.raises(ColourbenchError, match="--require-id a b"):
        PageSettings(required_id="a b")


def test_a_studys_options_hold_after_a_restart(tmp_path: Path) -> None:
    hosts = ("127.0.0.1",)
    first = PageSettings.of(
        tmp_path, hosts, completion_url="https://example.org/a", most_raters=7, consent=None
    )
    first.keep(tmp_path)
    assert PageSettings.of(tmp_path, hosts) == first
    later = PageSettings.of(tmp_path, hosts, most_raters=9)
    assert (later.most_raters, later.completion_url) == (9, "https://example.org/a")
    timed = first.for_minutes(6)
    assert "about 6 minutes" in timed.consent and timed.consent_version != first.consent_version
    timed.keep_consent(tmp_path)
    (kept,) = (tmp_path / "consents").iterdir()
    assert (kept.stem, kept.read_text()) == (timed.consent_version, timed.consent)
    (tmp_path / "page.json").write_text("{")
    with pytest.raises(ColourbenchError, match=r"remove .*page\.json"):
        PageSettings.of(tmp_path, hosts)


def test_the_owners_page_needs_its_key_and_tells_no_result(
    make_sessions: MakeSessions, make_rater: type[Rater]
) -> None:
    sessions = make_sessions()
    rater = make_rater(sessions)
    assert rater.client.get("/admin/data", headers={"X-Key": "wrong"}).status_code == 401
    rater.begin()
    rater.answer_all()
    reply = rater.client.get("/admin/data", headers={"X-Key": admin_key(sessions)})
    assert not [arm for arm in sessions.study.key.arms if arm in reply.text]
    assert reply.json()["each"][0]["answers"] == 8


def test_settings_that_cannot_be() -> None:
    for address in ("javascript:alert(1)", "example.org", "https://"):
        with pytest.raises(ColourbenchError, match="must begin with http"):
            PageSettings(completion_url=address)
    with pytest.raises(ColourbenchError, match="consent text"):
        PageSettings(consent=" \n")

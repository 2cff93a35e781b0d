"""A page on a small study, with and without a browser."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from analysis.ratings.design import Design
from analysis.ratings.page.app import make_app
from analysis.ratings.page.sessions import Sessions
from analysis.ratings.page.settings import PageSettings
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy


class Rater:
    """A browser without a screen."""

    def __init__(self, sessions: Sessions, **begin: Any) -> None:
        self.sessions = sessions
        self.client = TestClient(make_app(sessions), base_url="http://127.0.0.1")
        self.begin_with = {"consent": sessions.settings.consent_version, "age": None, "outside": "", **begin}

    def post(self, address: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        reply = self.client.post(address, json=body)
        assert reply.status_code == status, reply.text
        return dict(reply.json())

    def state(self) -> dict[str, Any]:
        return dict(self.client.get("/state").json())

    def begin(self) -> dict[str, Any]:
        """Consents and passes the screen check."""
        self.post("/begin", self.begin_with)
        return self.post("/screen", {"width": 1280, "height": 800, "numbers": self.right_numbers()})

    def right_numbers(self) -> list[str]:
        return [self.sessions.plate_number(self.id, plate) for plate in range(4)]

    @property
    def id(self) -> str:
        return str(self.sessions.rater_of(self.client.cookies["session"]))

    def reply(self, state: dict[str, Any], response: str, **other: Any) -> dict[str, Any]:
        """The answer to the trial that a state shows."""
        given = {"code": state["code"], "response": response, "session": "visit", "idempotency": f"k-{state['code']}"}
        times = {"requested_ms": 1000.0, "exposure_ms": 1001.0, "reaction_ms": 1500.0, "focus_lost": False, "full_screen": False}
        return given | times | other

    def answer_all(self, response: str | None = None) -> dict[str, Any]:
        """Answers to the end of the block; by default with the first answer."""
        state = self.state()
        while state["stage"] == "trial":
            assert self.client.get(state["picture"]).headers["content-type"] == "image/png"
            state = self.post("/answer", self.reply(state, response or state["answers"][0]["value"]))["state"]
        return state


@pytest.fixture
def make_sessions(make_study: Callable[..., RatingStudy], store: ResponseStore) -> Callable[..., Sessions]:
    """Makes the sessions of a study for the page."""

    def make(design: Design = Design("pair", 0, 6, practice=2, exposure_ms=1000), **settings: Any) -> Sessions:  # noqa: B008
        hosts = ("127.0.0.1", "localhost")
        return Sessions(make_study(design, sheets=False), store, PageSettings(hosts=hosts, **settings))

    return make


@pytest.fixture
def make_rater() -> type[Rater]:
    return Rater

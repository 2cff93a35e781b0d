"""A page on a small study, with and without a browser."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from analysis.people.design import Design
from studies.pages.ratings.app import cookie_name, make_app
from studies.pages.ratings.sessions import Sessions
from studies.pages.ratings.settings import PageSettings
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

ROOT = Path(__file__).resolve().parents[4]
SHORT = Design("pair", 0, 6, practice=2, exposure_ms=1000)


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(f"sqlite:///{tmp_path / 'responses.db'}")


class Server:
    """Pages as processes of their own."""

    def __init__(self, free_port: Callable[[], int]) -> None:
        self.free_port = free_port

    def start(
        self,
        study: RatingStudy,
        port: int,
        url: str = "",
        break_every: int = 20,
        names: Sequence[str] = (),
        log: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Starts the server and waits until it answers; `log` takes all that it writes."""
        script = Path(__file__).with_name("serving.py")
        given = (str(study.folder), str(port), url, str(break_every))
        command = [sys.executable, str(script), *given, *names]
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert process.poll() is None
            try:
                httpx.get(f"http://127.0.0.1:{port}/state", timeout=5)
                return process
            except httpx.TransportError:
                time.sleep(0.02)
        raise TimeoutError

    @contextmanager
    def served(
        self,
        study: RatingStudy,
        port: int,
        url: str = "",
        break_every: int = 20,
        names: Sequence[str] = (),
    ) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start(study, port, url, break_every, names)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class Rater:
    """A browser without a screen."""

    def __init__(self, sessions: Sessions, **begin: Any) -> None:
        self.sessions = sessions
        self.client = TestClient(make_app(sessions), base_url="http://127.0.0.1")
        self.begin_with = {
            "consent": sessions.settings.consent_version,
            "age": None,
            "outside": "",
            **begin,
        }

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
        return str(self.sessions.rater_of(self.client.cookies[cookie_name(self.sessions)]))

    def reply(self, state: dict[str, Any], response: str, **other: Any) -> dict[str, Any]:
        """The answer to the trial that a state shows."""
        given = {
            "code": state["code"],
            "response": response,
            "session": "visit",
            "idempotency": f"k-{state['code']}",
        }
        times = {
            "requested_ms": 1000.0,
            "exposure_ms": 1001.0,
            "reaction_ms": 1500.0,
            "focus_lost": False,
            "full_screen": False,
        }
        return given | times | other

    def answer_all(self, response: str | None = None) -> dict[str, Any]:
        """Answers to the end of the block; by default with the first answer."""
        state = self.state()
        while state["stage"] == "trial":
            assert self.client.get(state["picture"]).headers["content-type"] == "image/png"
            state = self.post(
                "/answer", self.reply(state, response or state["answers"][0]["value"])
            )["state"]
        return state


@pytest.fixture
def make_sessions(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> Callable[..., Sessions]:
    """Makes the sessions of a study for the page."""

    def make(design: Design = SHORT, **settings: Any) -> Sessions:
        hosts = ("127.0.0.1", "localhost")
        return Sessions(
            make_study(design, sheets=False), store, PageSettings(hosts=hosts, **settings)
        )

    return make


@pytest.fixture
def make_rater() -> type[Rater]:
    return Rater


@pytest.fixture
def server(a_free_port: Callable[[], int]) -> Server:
    return Server(a_free_port)

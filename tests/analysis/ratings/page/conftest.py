"""A page on a small study, with and without a browser."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from analysis.ratings.design import Design
from analysis.ratings.page.app import cookie_name, make_app
from analysis.ratings.page.sessions import Sessions
from analysis.ratings.page.settings import PageSettings
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy

ROOT = Path(__file__).resolve().parents[4]


class Server:
    """Pages as processes of their own."""

    @staticmethod
    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def start(self, study: RatingStudy, port: int, url: str = "", break_every: int = 20) -> subprocess.Popen[bytes]:
        """Starts the server and waits until it answers."""
        script = Path(__file__).with_name("serving.py")
        command = [sys.executable, str(script), str(study.folder), str(port), url, str(break_every)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
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
    def served(self, study: RatingStudy, port: int, url: str = "", break_every: int = 20) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start(study, port, url, break_every)
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
        return str(self.sessions.rater_of(self.client.cookies[cookie_name(self.sessions)]))

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


@pytest.fixture
def server() -> Server:
    return Server()

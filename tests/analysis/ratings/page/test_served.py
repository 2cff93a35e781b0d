"""The page as a process of its own: killed between answers, and with fifty raters at once. On SQLite and on PostgreSQL."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from analysis.ratings.design import Design
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy

ROOT = Path(__file__).resolve().parents[4]
KILLS = 100


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(study: RatingStudy, port: int, url: str = "", break_every: int = 20) -> subprocess.Popen[bytes]:
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
def served(study: RatingStudy, port: int, url: str = "", break_every: int = 20) -> Iterator[subprocess.Popen[bytes]]:
    process = start(study, port, url, break_every)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Visitor:
    """A rater over HTTP who asks again until the server answers, as the page's script does."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.acknowledged: dict[str, str] = {}

    def ask(self, address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        for _ in range(600):
            try:
                reply = self.client.get(address) if body is None else self.client.post(address, json=body)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            assert reply.status_code == 200, reply.text
            return dict(reply.json())
        raise TimeoutError

    def look(self, address: str) -> None:
        """Fetches a picture, if the server is there."""
        with suppress(httpx.TransportError):
            assert self.client.get(address).status_code == 200

    def begin(self) -> dict[str, Any]:
        consent = self.ask("/state")["version"]
        self.ask("/begin", {"consent": consent, "age": None, "outside": ""})
        return self.ask("/screen", {"width": 800, "height": 600, "numbers": ["", "", "", ""]})

    def answer(self, state: dict[str, Any]) -> dict[str, Any]:
        """Answers, and notes the answer once the server has acknowledged it."""
        response = random.choice([answer["value"] for answer in state["answers"]])
        body = {"code": state["code"], "response": response, "session": "s", "idempotency": state["code"], "requested_ms": 0.0}
        body |= {"exposure_ms": 0.0, "reaction_ms": 700.0, "focus_lost": False, "full_screen": False}
        reply = self.ask("/answer", body)
        self.acknowledged[state["code"]] = response
        return dict(reply["state"])

    def to_the_end(self) -> None:
        state = self.begin()
        while state["stage"] == "trial":
            self.look(state["picture"])
            state = self.answer(state)
        assert state["stage"] == "end"
        self.client.close()


def check(store: ResponseStore, *visitors: Visitor) -> None:
    """Every acknowledged answer is there, as it was given, once."""
    table = store.table()
    assert table["code"].is_unique
    kept = dict(zip(table["code"], table["response"], strict=True))
    assert kept == {code: response for visitor in visitors for code, response in visitor.acknowledged.items()}


@pytest.mark.integration
def test_kills_between_answers_lose_none_and_double_none(make_study: Callable[..., RatingStudy]) -> None:
    study, port = make_study(Design("opinion", 0, 12), sheets=False), free_port()
    draw, over = random.Random(0), threading.Event()
    process = start(study, port)
    visitors: list[Visitor] = []

    def answers() -> int:
        return sum(len(visitor.acknowledged) for visitor in visitors)

    def rate() -> None:
        while not over.is_set():
            visitor = Visitor(port)
            visitors.append(visitor)
            visitor.to_the_end()

    raters = [threading.Thread(target=rate) for _ in range(3)]
    for thread in raters:
        thread.start()
    for _ in range(KILLS):
        seen, deadline = answers(), time.monotonic() + 60
        while answers() == seen and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.15))  # somewhere within the next answers
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(study, port)
    over.set()
    for thread in raters:
        thread.join()
    process.kill()
    process.wait()
    check(ResponseStore(study.database), *visitors)
    assert answers() >= KILLS


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fifty_raters_at_once(kind: str, make_study: Callable[..., RatingStudy], request: pytest.FixtureRequest) -> None:
    study, port = make_study(Design("opinion", 0, 12), sheets=False), free_port()
    url = request.getfixturevalue("postgres") if kind == "postgresql" else study.database
    with served(study, port, url):
        visitors = [Visitor(port) for _ in range(50)]
        threads = [threading.Thread(target=visitor.to_the_end) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    store = ResponseStore(url)
    check(store, *visitors)
    assert len(store.table()) == 50 * 12 and len(store.raters()) == 50

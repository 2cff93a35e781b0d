"""The page as a process of its own: killed between answers, and with fifty raters at once. On SQLite and on PostgreSQL."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from analysis.people.design import Design
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

KILLS = 5 * int(os.environ.get("COLOURBENCH_KILLS", "4"))


class Visitor:
    """A rater over HTTP who asks again until the server answers, as the page's script does."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.acknowledged: dict[str, str] = {}

    def ask(self, address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        for _ in range(600):
            try:
                reply = (
                    self.client.get(address)
                    if body is None
                    else self.client.post(address, json=body)
                )
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
        body = {
            "code": state["code"],
            "response": response,
            "session": "s",
            "idempotency": state["code"],
            "requested_ms": 0.0,
        }
        body |= {
            "exposure_ms": 0.0,
            "reaction_ms": 700.0,
            "focus_lost": False,
            "full_screen": False,
        }
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
    assert kept == {
        code: response for visitor in visitors for code, response in visitor.acknowledged.items()
    }


@pytest.mark.integration
def test_kills_between_answers_lose_none_and_double_none(
    make_study: Callable[..., RatingStudy], server: Any
) -> None:
    study, port = make_study(Design("opinion", 0, 12), sheets=False), server.free_port()
    draw, over = random.Random(0), threading.Event()
    process = server.start(study, port)
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
        process = server.start(study, port)
    over.set()
    for thread in raters:
        thread.join()
    process.kill()
    process.wait()
    check(ResponseStore(study.database), *visitors)
    assert answers() >= KILLS


@pytest.mark.integration
def test_nothing_is_logged_about_visitors(
    make_study: Callable[..., RatingStudy], server: Any, tmp_path: Path
) -> None:
    """The consent page promises it: no address, no request and no answer appears in what the server writes."""
    study, port = make_study(Design("opinion", 0, 12), sheets=False), server.free_port()
    with (tmp_path / "written.log").open("wb") as log:
        process = server.start(study, port, log=log)
        visitor = Visitor(port)
        visitor.to_the_end()
        httpx.get(f"http://127.0.0.1:{port}/no-such-page")
        process.terminate()
        process.wait()
    written = (tmp_path / "written.log").read_text()
    told = ("GET", "POST", "HTTP/1", "/answer", "/state", "no-such-page", *visitor.acknowledged)
    assert visitor.acknowledged and not [word for word in told if word in written]


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fifty_raters_at_once(
    kind: str, make_study: Callable[..., RatingStudy], server: Any, request: pytest.FixtureRequest
) -> None:
    study, port = make_study(Design("opinion", 0, 12), sheets=False), server.free_port()
    url = request.getfixturevalue("postgres") if kind == "postgresql" else study.database
    with server.served(study, port, url):
        visitors = [Visitor(port) for _ in range(50)]
        threads = [threading.Thread(target=visitor.to_the_end) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    store = ResponseStore(url)
    check(store, *visitors)
    assert len(store.table()) == 50 * 12 and len(store.raters()) == 50

"""What the guard in front of the page refuses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from studies.pages.guard import LARGEST_BODY
from studies.pages.ratings.app import make_app
from studies.pages.ratings.sessions import Sessions

MakeSessions = Callable[..., Sessions]
Rater = Any


class TestGuard:
    @pytest.fixture
    def client(self, make_sessions: MakeSessions) -> TestClient:
        return TestClient(make_app(make_sessions()), base_url="http://127.0.0.1")

    def test_every_reply_carries_the_headers(self, client: TestClient) -> None:
        for address in ("/", "/page.js", "/state", "/admin", "/none", "/picture/x"):
            headers = client.get(address).headers
            assert (
                "default-src 'none'" in headers["content-security-policy"]
                and headers["x-content-type-options"] == "nosniff"
            )
            assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"

    def test_nothing_is_asked_of_another_host(self, client: TestClient) -> None:
        for address in ("/", "/page.js", "/page.css", "/admin", "/admin.js"):
            assert not re.findall(r"https?:|src=.//|url\(", client.get(address).text)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"content-type": "application/x-www-form-urlencoded"}, 415),
            ({"content-length": str(LARGEST_BODY + 1)}, 413),
            ({"content-length": "many"}, 413),
        ],
    )
    def test_what_is_refused(
        self, headers: dict[str, str], status: int, client: TestClient
    ) -> None:
        sent = {"content-type": "application/json", "content-length": "2", **headers}
        assert client.post("/begin", content=b"{}", headers=sent).status_code == status

    def test_a_long_body_without_a_length_is_cut_off(self, client: TestClient) -> None:
        def chunks() -> Any:
            for _ in range(20):
                yield b" " * 4096

        reply = client.post(
            "/begin", content=chunks(), headers={"content-type": "application/json"}
        )
        assert reply.status_code == 400

    def test_wrong_fields_are_named_and_not_repeated(self, client: TestClient) -> None:
        reply = client.post("/begin", json={"consent": "<script>", "age": "7", "extra": "x"})
        assert (
            reply.status_code == 422
            and "body.consent" in reply.text
            and "<script>" not in reply.text
        )
        reply = client.post(
            "/begin",
            content=b'{"consent": "\\ud800"}',
            headers={"content-type": "application/json"},
        )
        assert reply.status_code == 422

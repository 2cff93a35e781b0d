"""A tester that the description at /openapi.json drives (Schemathesis): whatever is sent, every reply is one that it names."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

# of each operation, with what the description allows and with what it does not
CASES = {
    "/": 30,
    "/models": 30,
    "/colourise": 500,
}
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]


ODD = [
    *(
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ),
    *(
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-length": "99999999999"},
    ),
]


@pytest.mark.integration
def test_every_reply_is_as_described(
    make_page: Callable[..., Any], make_photograph: Any, make_file: Callable[..., bytes]
) -> None:
    load_all_checks()
    page, photo = make_page(), make_file(make_photograph(0, (16, 16)))
    schema = schemathesis.openapi.from_dict(page.client.get("/openapi.json").json())
    operations = [cast(Any, result).ok() for result in schema.get_all_operations()]
    replies: Counter[tuple[str, int]] = Counter()
    for operation in operations:
        limits = settings(
            max_examples=CASES[operation.path],
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        for mode in GenerationMode:

            @given(
                case=operation.as_strategy(generation_mode=mode),
                body=bodies(photo),
                odd=odd_headers(),
            )
            @limits
            def send(case: schemathesis.Case, body: bytes | None, odd: dict[str, str]) -> None:
                reply = page.client.request(**_known(case, body, odd))
                replies[case.path, reply.status_code] += 1
                case.validate_response(reply, checks=CHECKS)

            # an operation that takes nothing has no wrong input
            with suppress(Unsatisfiable):
                send()
    total = sum(replies.values())
    print(f"\n{total} cases: {dict(sorted(replies.items()))}")
    assert set(CASES) == {operation.path for operation in operations} and total >= 1000
    assert {status for path, status in replies if path == "/colourise"} >= {
        200,
        403,
        413,
        415,
        421,
        422,
    }


def odd_headers() -> st.SearchStrategy[dict[str, str]]:
    """Mostly none: what the guard refuses comes no further."""
    return st.sampled_from([{}] * 20 + ODD)


def bodies(photo: bytes) -> st.SearchStrategy[bytes | None]:
    """None leaves what the tester made; a photograph, and one with some bytes changed or its end missing, reach what is behind."""

    def damaged(seed: int) -> bytes:
        draw, data = random.Random(seed), bytearray(photo)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data[: draw.randint(len(data) // 2, len(data))])

    return st.one_of(st.none(), st.just(photo), st.integers(0, 2**32).map(damaged))


def _known(case: schemathesis.Case, body: bytes | None, odd: dict[str, str]) -> dict[str, Any]:
    """What the client of the test takes."""
    request = case.as_transport_kwargs(base_url="http://127.0.0.1")
    content = body if body is not None and case.method == "POST" else request.get("data")
    sent = {name: request[name] for name in ("method", "url", "params", "json") if name in request}
    headers = {
        name: value
        for name, value in (request.get("headers") or {}).items()
        if name.lower() not in odd
    } | odd
    return (
        sent
        | {"headers": headers}
        | ({"content": content, "json": None} if content is not None else {})
    )

"""A tester that the schema drives (Schemathesis): whatever is sent, no request is a server error."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from studies.pages.ratings.app import make_app
from studies.pages.ratings.sessions import Sessions

CASES = 90  # of each operation, with what the schema allows and with what it does not
OPERATIONS = 11


@pytest.mark.integration
def test_no_request_is_a_server_error(
    make_sessions: Callable[..., Sessions], make_rater: Any
) -> None:
    sessions = make_sessions(most_raters=200)
    rater = make_rater(sessions)
    rater.begin()
    schema = schemathesis.openapi.from_dict(make_app(sessions).openapi())
    operations = [cast(Any, result).ok() for result in schema.get_all_operations()]
    replies: Counter[tuple[str, int]] = Counter()
    limits = settings(
        max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    for operation in operations:
        for mode in GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @limits
            def send(case: schemathesis.Case) -> None:
                request = case.as_transport_kwargs(base_url="http://127.0.0.1")
                reply = rater.client.request(**_known(request))
                replies[case.path, reply.status_code] += 1
                assert reply.status_code < 500, (request, reply.text)

            # an operation that takes nothing has no wrong input
            with suppress(Unsatisfiable):
                send()
    assert len(operations) == OPERATIONS and sum(replies.values()) >= 1000
    assert {status for _, status in replies} >= {200, 409, 422}


def _known(request: dict[str, Any]) -> dict[str, Any]:
    """What the client of the test takes; cookies are the rater's own, so that requests come past the door."""
    return {
        name: request[name]
        for name in ("method", "url", "params", "json", "headers")
        if name in request
    } | ({"content": request["data"]} if request.get("data") is not None else {})

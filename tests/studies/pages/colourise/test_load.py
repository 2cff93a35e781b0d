"""Many uploads to a real server: how many a second, how long the slow ones take, and that memory does not grow.

COLOURBENCH_UPLOADS=1000 sends as many.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import numpy as np
import psutil
import pytest

UPLOADS = int(os.environ.get("COLOURBENCH_UPLOADS", "300"))
FIRST = 60  # uploads after which everything is loaded
CLIENTS = 4
MB = 10**6


def memory(process: psutil.Process) -> float:
    """Megabytes that the server and the process that decodes take."""
    return (
        float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))))
        / MB
    )


@pytest.mark.integration
def test_memory_does_not_grow(
    serving: Callable[..., Any], make_photograph: Any, make_file: Callable[..., bytes]
) -> None:
    photos = [make_file(make_photograph(seed, (160 + 16 * seed, 240)), "JPEG") for seed in range(6)]

    def send(client: httpx.Client, address: str) -> Callable[[int], tuple[int, float]]:
        def one(number: int) -> tuple[int, float]:
            began = time.perf_counter()
            # some are cut short
            body = photos[number % 6] if number % 10 else photos[0][: number % 100]
            model = ("hinted", "labelled")[number % 2]
            headers = {"content-type": "image/jpeg"}
            reply = client.post(
                f"{address}/colourise",
                params={"model": model, "format": "jpeg"},
                content=body,
                headers=headers,
            )
            return reply.status_code, time.perf_counter() - began

        return one

    together = (serving("--rate", "1000000"), ThreadPoolExecutor(CLIENTS), httpx.Client(timeout=60))
    with together[0] as (address, process), together[1] as clients, together[2] as client:
        server = psutil.Process(process.pid)
        replies = list(clients.map(send(client, address), range(FIRST)))
        before, began = memory(server), time.perf_counter()
        replies += clients.map(send(client, address), range(FIRST, UPLOADS))
        seconds, after = time.perf_counter() - began, memory(server)
    p95 = np.quantile([duration for _, duration in replies[FIRST:]], 0.95)
    print(
        f"\n{UPLOADS} uploads, {CLIENTS} clients: {(UPLOADS - FIRST) / seconds:.1f} a second, p95 {p95:.2f} s, "
        f"memory {before:.0f} MB after {FIRST}, {after:.0f} MB at the end"
    )
    assert Counter(status for status, _ in replies) == {200: UPLOADS * 9 // 10, 422: UPLOADS // 10}
    assert after <= before * 1.1 + 30


@pytest.mark.integration
def test_those_who_come_too_many_are_told_so(
    address: str, make_photograph: Any, make_file: Callable[..., bytes]
) -> None:
    """The refusal reaches a client that is still sending, and what comes later is served."""
    large = make_file(make_photograph(0, (1300, 1300)), "BMP")
    assert len(large) > 5 * MB

    def parts() -> Iterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    def send(_: int) -> httpx.Response:
        headers = {"content-type": "image/bmp", "content-length": str(len(large))}
        return client.post(
            f"{address}/colourise?model=hinted&format=jpeg", content=parts(), headers=headers
        )

    with ThreadPoolExecutor(8) as clients, httpx.Client(timeout=60) as client:
        replies = list(clients.map(send, range(8)))
        statuses = Counter(reply.status_code for reply in replies)
        assert set(statuses) == {200, 503} and all(
            reply.headers["retry-after"] for reply in replies if reply.status_code == 503
        )
        assert send(0).status_code == 200

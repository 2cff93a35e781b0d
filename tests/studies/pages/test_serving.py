"""A page's socket and its address."""

import socket

import pytest

from common.errors import ColourbenchError
from studies.pages.serving import address, listening


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "[::1]"),
        ("example.org", "example.org"),
    ],
)
def test_hosts_in_an_address(host: str, shown: str) -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener, host) == f"http://{shown}:{port}/"


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ColourbenchError, match=f"--port {port} cannot be listened on"):
            listening("127.0.0.1", port)

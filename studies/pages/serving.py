"""How a page is served: a socket that listens, the address that a browser on this machine takes, and no log of requests."""

import socket
from typing import Any

import uvicorn

from common.errors import ColourbenchError

EVERYWHERE = ("0.0.0.0", "::")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any free one.

    Raises:
        ColourbenchError: the port is taken, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ColourbenchError(
            f"--host {host} --port {port} cannot be listened on ({reason}); choose another --port"
        ) from None


def address(listener: socket.socket, host: str) -> str:
    """Where a browser on this machine finds the page."""
    name = f"[{host}]" if ":" in host else host
    if host in EVERYWHERE:
        name = "127.0.0.1"
    return f"http://{name}:{listener.getsockname()[1]}/"


def run(app: Any, listener: socket.socket, *, behind_proxy: bool) -> None:
    """Serves the app until Ctrl-C. No log of requests is kept: it would hold visitors' addresses.

    Args:
        behind_proxy: whether a proxy on this machine may say who the visitor is.
    """
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, proxy_headers=behind_proxy
    )
    uvicorn.Server(config).run(sockets=[listener])

"""Serves models on a page until it is told to end."""

import socket
from collections.abc import Callable, Sequence

import uvicorn

from common.errors import ColourbenchError
from studies.use.models import Model
from studies.use.page.app import by_name, make_app
from studies.use.page.settings import EVERYWHERE, LOCAL, ServeSettings
from studies.use.page.work import Work


def serve(models: Sequence[Model], settings: ServeSettings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves the page. No log of requests is kept: it would hold visitors' addresses.

    Raises:
        ColourbenchError: the address cannot be listened on.
    """
    with listening(host, port) as listener, Work(settings) as work:
        app = make_app(models, settings, work)
        # a proxy on this machine may say who the visitor is, if the page is known by another name at all
        named = not set(settings.hosts) <= {host, *LOCAL}
        config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, proxy_headers=named)
        say(f"{', '.join(by_name(models))}: {address(listener, host)} (Ctrl-C ends the page)")
        uvicorn.Server(config).run(sockets=[listener])


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
        raise ColourbenchError(f"--host {host} --port {port} cannot be listened on ({reason}); choose another --port") from None


def address(listener: socket.socket, host: str) -> str:
    """Where a browser on this machine finds the page."""
    name = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"

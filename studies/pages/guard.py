"""What every request must pass: a known host, a small body, no other site behind it; and what every reply carries."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST_BODY = 16_384  # bytes
JSON = ("application/json",)
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Middleware around an ASGI app.

    Args:
        hosts: names and addresses under which the app may be asked for; `*` stands for any.
        largest_body: bytes that may be sent at once.
        accepted: content types that may be sent. Keep to those that a form of another site cannot send without asking first.
        wanted: what to send instead of another type, in words.
    """

    def __init__(
        self,
        app: Any,
        hosts: Sequence[str],
        largest_body: int = LARGEST_BODY,
        accepted: Sequence[str] = JSON,
        wanted: str = "JSON",
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._largest_body = largest_body
        self._accepted = frozenset(accepted)
        self._wanted = wanted

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal:
            await JSONResponse({"error": refusal[1]}, refusal[0], HEADERS)(scope, receive, send)
            return
        await self._app(scope, _limited(receive, self._largest_body), _with_headers(send))

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if (
            "*" not in self._hosts
            and host.rpartition(":")[0] not in self._hosts
            and host not in self._hosts
        ):
            return 421, "this page is not served under this name"
        if scope["method"] == "POST":
            origin = headers.get("origin")
            if (origin and origin.partition("://")[2].lower() != host) or headers.get(
                "sec-fetch-site"
            ) == "cross-site":
                return 403, "another site sent this, or a proxy changed the Host header"
            if (
                headers.get("content-type", "").partition(";")[0].strip().lower()
                not in self._accepted
            ):
                return 415, f"send {self._wanted}"
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > self._largest_body:
                return (
                    413,
                    f"that is too much at once: {self._largest_body / 10**6:.3g} MB may be sent",
                )
        return None


def _limited(receive: Receive, largest: int) -> Receive:
    """Ends the connection of a body that is longer than allowed, whatever its headers said."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > largest else message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            added = [
                (name.encode(), value.encode())
                for name, value in HEADERS.items()
                if name.encode() not in there
            ]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending

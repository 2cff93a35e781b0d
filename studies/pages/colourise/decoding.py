"""Decodes what strangers send, in a process of its own and by the clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from common.data.decoding import images
from common.data.decoding.confined import Answer, ConfinedProcess, Limits, serve_confined
from common.data.decoding.images import BadImage

COPIES = 3  # of a file's content that are in memory while it is received


def limits_for(pixels: int, content: int) -> Limits:
    """Limits for photographs of so many pixels and bytes: more time and memory where more pixels are allowed than usual."""
    more = max(1.0, pixels / images.MAX_PIXELS)
    return Limits(
        pixels=pixels,
        seconds=Limits.seconds * more,
        wait=Limits.wait * more,
        memory=int(Limits.memory * more) + COPIES * content,
    )


class Decoder:
    """One process that decodes, as a context manager; one photograph at a time."""

    def __init__(self, limits: Limits) -> None:
        self._process = ConfinedProcess(serve, limits, {})

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.close()

    @property
    def process_id(self) -> int:
        """The process that decodes now."""
        return self._process.process_id

    def decode(self, data: bytes) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes a file's content to sRGB.

        Raises:
            BadImage: it cannot be used; the text is one sentence, and repeats nothing of the content.
            ColourbenchError: the process cannot work at all.
        """
        process = self._process
        # ended between two photographs, which is neither's fault
        if process.has_ended:
            process.restart()
        with self._deadline() as is_late:
            try:
                process.ask(data)
                (rgb,) = process.answer().pictures
                return rgb
            except (EOFError, OSError):
                pass  # the process has ended
        reason = process.too_late if is_late.is_set() else process.why_it_ended()
        process.restart()
        raise reason

    @contextmanager
    def _deadline(self) -> Iterator[Event]:
        """Ends the process if what is inside takes too long, which ends any wait for it."""
        is_late = Event()

        def end() -> None:
            is_late.set()
            self._process.end_now()

        timer = Timer(self._process.limits.wait, end)
        timer.daemon = True
        timer.start()
        try:
            yield is_late
        finally:
            timer.cancel()


def serve(descriptor: int) -> None:
    """Runs in a process of its own: decodes one photograph after another."""
    serve_confined(descriptor, _decode)


def _decode(data: bytes, limits: Limits, settings: dict[str, Any]) -> Answer:
    try:
        return Answer({}, [images.decode(data, limits.pixels).rgb])
    except BadImage as error:
        raise BadImage(_without_content(error)) from None


def _without_content(error: BadImage) -> str:
    """The reason without Pillow's own words, which may quote what was sent."""
    reason, _, quoted = str(error).partition(": ")
    return "the picture is damaged, or cut short" if quoted else reason

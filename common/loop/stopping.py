"""A callback that ends training on Ctrl-C or SIGTERM, after the current step and a checkpoint."""

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from common.errors import Interrupted
from common.loop.training import Losses, Progress


class StopOnSignal:
    """Ctrl-C and SIGTERM save a checkpoint after the current step and then stop; a second Ctrl-C stops at once."""

    def __init__(
        self, save: Callable[[Progress], None], agree: Callable[[bool], bool] = bool
    ) -> None:
        self._save = save
        self._agree = agree  # ranks must stop after the same step
        self._received: int | None = None
        self._previous: Mapping[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        try:
            self._previous = {
                number: signal.signal(number, self._receive)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # not the main thread: the code that started this thread handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self, progress: Progress, losses: Losses) -> None:
        if self._agree(self._received is not None):
            self._save(progress)
            name = signal.Signals(self._received or signal.SIGTERM).name
            raise Interrupted(
                f"stopped by {name} after {progress.images} images; run the same command to go on from there"
            )

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise Interrupted(
                "stopped at once; run the same command to go on from the last checkpoint"
            )
        self._received = number

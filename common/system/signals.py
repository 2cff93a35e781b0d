"""Handles Ctrl-C and SIGTERM outside training: commands end at once, with a message."""

import signal
from types import FrameType

from common.errors import Interrupted


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles a signal: `finally` blocks and contexts clean up."""
    raise Interrupted(f"stopped by {signal.Signals(number).name}; run the same command to go on")


def interrupt_on_signal() -> None:
    """Lets Ctrl-C and SIGTERM raise `Interrupted`; typer would end without a message."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)

"""What happens beside training: losses logged, validation, previews, checkpoints, signals, a progress bar."""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from common import checkpoint, lab
from common.config import Settings
from common.errors import ColourbenchError, Interrupted
from common.shards import Split
from common.tracking import Run
from common.training import Callback, Losses, Progress, Unit

Colouriser = Callable[[Tensor], Tensor]  # L (B, 1, H, W) -> ab (B, 2, H, W)


class WatchConfig(Settings):
    """How often a run is looked at and saved; none of it changes what is learnt, but where variant.inflection acts on looks."""

    log_steps: int = Field(default=20, ge=1)
    """Losses are averaged over this many steps and then logged."""
    validations: int = Field(default=10, ge=1, le=1000)
    """How many times the validation split is scored, evenly over the budget."""
    validation_images: int = Field(default=256, ge=1)
    """Images of the validation split used each time."""
    preview_images: int = Field(default=8, ge=0, le=64)
    """Photographs in the preview grid; 0 draws none."""
    checkpoint_seconds: float = Field(default=120, gt=0)
    """Time between checkpoints: at most this much work is lost when the process is killed."""
    keep: Literal["generator", "all"] = "generator"
    """What a finished run keeps: its generator, or also the last checkpoints with critic and optimisers."""


class DivergedError(ColourbenchError):
    """A loss is NaN or infinite."""


def every(amount: float, unit: Unit, progress: Progress, act: Callable[[Progress], None]) -> Callback:
    """Calls `act` each time the run passes a multiple of `amount` of `unit`, counted from where `progress` is now."""

    def marks(now: Progress) -> int:
        return int(now.count(unit) / amount + 1e-9)

    passed = marks(progress)

    def callback(now: Progress, losses: Losses) -> None:
        nonlocal passed
        if marks(now) > passed:
            passed = marks(now)
            act(now)

    return callback


class LogLosses:
    """Averages losses over some steps, stops the run where one is not finite, and buffers them for the tracker."""

    def __init__(self, run: Run, steps: int, last_good: Callable[[], str]) -> None:
        self._run, self._steps, self._last_good = run, steps, last_good
        self._rows: list[Losses] = []

    def __call__(self, progress: Progress, losses: Losses) -> None:
        self._rows.append(losses)
        if len(self._rows) >= self._steps:
            self.settle(progress)

    def settle(self, progress: Progress) -> None:
        """Logs what has gathered; one transfer from the device for all of it.

        Raises:
            DivergedError: names the loss, the step and the last good checkpoint.
        """
        if not self._rows:
            return
        names = sorted({name for row in self._rows for name in row})
        means = torch.stack([_mean_of(name, self._rows) for name in names]).tolist()
        self._rows = []
        for name, value in zip(names, means, strict=True):
            if not np.isfinite(value):
                raise DivergedError(
                    f"the loss {name!r} became {value} within the {self._steps} steps before image {progress.images} "
                    f"(update {progress.updates}); {self._last_good()}. Try a lower learning rate, or engine.precision=32"
                )
        logged = {f"train/{name}": value for name, value in zip(names, means, strict=True)}
        self._run.log(logged | cost(progress), progress.images)

    def state_dict(self) -> list[dict[str, Tensor]]:
        """The steps gathered since the last logging, so that a resumed run logs the same averages."""
        return [{name: value.detach().cpu() for name, value in row.items()} for row in self._rows]

    def load_state_dict(self, rows: list[dict[str, Tensor]]) -> None:
        """Undoes the loss of a kill."""
        self._rows = [dict(row) for row in rows]


def cost(progress: Progress) -> dict[str, float]:
    """What the run has cost so far, logged beside every metric so that curves can be drawn against each."""
    return {
        "seconds": progress.seconds,
        "updates": float(progress.updates),
        "critic_updates": float(progress.critic_updates),
    }


class Checkpointer:
    """Saves the whole state of a run, by the clock and on demand."""

    def __init__(
        self, folder: Path, seconds: float, state: Callable[[], dict[str, Any]], saved: Callable[[], None], writes: bool = True
    ) -> None:
        self._folder, self._seconds, self._state, self._saved, self._writes = folder, seconds, state, saved, writes
        self._last = time.monotonic()
        self.path: Path | None = None

    def __call__(self, progress: Progress, losses: Losses) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint, then lets the tracker log what the checkpoint already holds; of several ranks one does."""
        if not self._writes:
            return
        self.path = checkpoint.save(self._folder, self._state(), progress.images)
        self._saved()
        self._last = time.monotonic()

    def last_good(self) -> str:
        """For messages."""
        return f"the last good checkpoint is {self.path}" if self.path else "no checkpoint had been written yet"


class StopOnSignal:
    """Ctrl-C and SIGTERM save a checkpoint after the step under way and then stop; a second Ctrl-C stops at once."""

    def __init__(self, save: Callable[[Progress], None], agree: Callable[[bool], bool] = bool) -> None:
        self._save, self._agree = save, agree  # ranks must stop after the same step
        self._received: int | None = None
        self._previous: Mapping[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        try:
            self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever runs this one handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self, progress: Progress, losses: Losses) -> None:
        if self._agree(self._received is not None):
            self._save(progress)
            name = signal.Signals(self._received or signal.SIGTERM).name
            raise Interrupted(f"stopped by {name} after {progress.images} images; the same command goes on from there")

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise Interrupted("stopped at once; the same command goes on from the last checkpoint")
        self._received = number


def preview(colourise: Colouriser, photographs: Tensor, path: Path) -> None:
    """Draws a grid: row by row the grey input, the colourised and the true photograph.

    Args:
        photographs: uint8 (B, 3, H, W).
    """
    from torchvision.utils import make_grid, save_image  # takes seconds to import

    L, ab = lab.to_network(photographs)
    rows = [lab.to_photographs(L, ab * 0), lab.to_photographs(L, colourise(L)), lab.to_photographs(L, ab)]
    grid = make_grid(torch.cat(rows).float() / 255, nrow=len(photographs), padding=2, pad_value=1.0)
    save_image(grid, path)


def fixed_photographs(split: Split, count: int, device: torch.device) -> Tensor:
    """The first `count` photographs of a split, spread over it: uint8 (B, 3, H, W)."""
    places = np.linspace(0, len(split) - 1, num=min(count, len(split))).astype(int)
    return torch.from_numpy(split.centres(places)).permute(0, 3, 1, 2).to(device)


def _mean_of(name: str, rows: list[Losses]) -> Tensor:
    return torch.stack([row[name].float() for row in rows if name in row]).mean()

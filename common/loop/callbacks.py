"""Callbacks of the training loop: periodic actions, logging of losses, checkpoints and a progress bar."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor

from common.colour.metrics import METRICS, SHOWN
from common.config import Settings
from common.errors import ColourbenchError
from common.loop import checkpoint
from common.loop.engine import is_first_rank
from common.loop.training import Budget, Callback, Losses, Progress, Unit
from common.tracking import Run
from common.tracking.names import TRAIN


class WatchConfig(Settings):
    """How often a run is validated and saved; this never changes training, unless schedule.inflection acts on validations."""

    log_steps: int = Field(default=20, ge=1)
    """Losses are averaged over this many steps and then logged."""
    validations: int = Field(default=10, ge=1, le=1000)
    """How many times the validation split is scored, spaced evenly over the budget."""
    validation_images: int = Field(default=256, ge=1)
    """Images of the validation split used each time."""
    preview_images: int = Field(default=8, ge=0, le=64)
    """Photographs in the preview grid; 0 draws none."""
    checkpoint_seconds: float = Field(default=120, gt=0)
    """Seconds between checkpoints: at most this much work is lost when the process is killed."""
    conditions: tuple[Literal["films", "hints"], ...] = ()
    """Other conditions under which the test split is scored too: on old films, with colour hints of true colours."""
    keep: Literal["generator", "all"] = "generator"
    """What a finished run keeps: only its generator, or also its last checkpoints with critic and optimisers."""


class DivergedError(ColourbenchError):
    """A loss is NaN or infinite."""


def every(
    amount: float, unit: Unit, progress: Progress, act: Callable[[Progress], None]
) -> Callback:
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
    """Averages losses over some steps, stops the run if one is not finite, and buffers them for the tracker."""

    def __init__(
        self,
        run: Run,
        steps: int,
        last_good: Callable[[], str],
        average: Callable[[list[Tensor]], list[Tensor]] = list,
    ) -> None:
        self._run = run
        self._steps = steps
        self._last_good = last_good
        # over ranks, so that what is logged is of the whole batch and all ranks stop at a NaN
        self._average = average
        self._rows: list[Losses] = []

    def __call__(self, progress: Progress, losses: Losses) -> None:
        self._rows.append(losses)
        if len(self._rows) >= self._steps:
            self.settle(progress)

    def settle(self, progress: Progress) -> None:
        """Logs the means of the gathered losses, with one transfer from the device for all of them.

        Raises:
            DivergedError: a mean is not finite; the message names the loss, the step and the last good checkpoint.
        """
        if not self._rows:
            return
        names = sorted({name for row in self._rows for name in row})
        (averaged,) = self._average([torch.stack([_mean_of(name, self._rows) for name in names])])
        means = averaged.tolist()
        self._rows = []
        for name, value in zip(names, means, strict=True):
            if not np.isfinite(value):
                raise DivergedError(
                    f"the loss {name!r} became {value} within the {self._steps} steps before image {progress.images} "
                    f"(update {progress.updates}); {self._last_good()}. Try a lower learning rate, or engine.precision=32"
                )
        logged = {f"{TRAIN}{name}": value for name, value in zip(names, means, strict=True)}
        self._run.log(logged | cost(progress), progress.images)

    def state_dict(self) -> list[dict[str, Tensor]]:
        """The steps gathered since the last logging, so that a resumed run logs the same averages."""
        return [{name: value.detach().cpu() for name, value in row.items()} for row in self._rows]

    def load_state_dict(self, rows: list[dict[str, Tensor]]) -> None:
        """Restores losses not yet logged when the run was interrupted."""
        self._rows = [dict(row) for row in rows]


def cost(progress: Progress) -> dict[str, float]:
    """What the run has cost so far, logged beside every metric so that curves can be drawn against each."""
    return {
        "seconds": progress.seconds,
        "updates": float(progress.updates),
        "critic_updates": float(progress.critic_updates),
    }


class Checkpointer:
    """Saves the whole state of a run, at intervals of time and on demand."""

    def __init__(
        self,
        folder: Path,
        seconds: float,
        state: Callable[[], dict[str, Any]],
        saved: Callable[[], None],
        writes: bool = True,
        agree: Callable[[bool], bool] = bool,
    ) -> None:
        self._folder = folder
        self._seconds = seconds
        self._state = state
        self._saved = saved
        self._writes = writes
        # every rank's state belongs to a checkpoint, so all save after the same step
        self._agree = agree
        self._last = time.monotonic()
        self.path: Path | None = None

    def __call__(self, progress: Progress, losses: Losses) -> None:
        if self._agree(self._writes and time.monotonic() - self._last >= self._seconds):
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint, then lets the tracker log what the checkpoint already holds; only one rank writes."""
        state = self._state()
        if not self._writes:
            return
        self.path = checkpoint.save(self._folder, state, progress.images)
        self._saved()
        self._last = time.monotonic()

    def last_good(self) -> str:
        """Names the last good checkpoint, for error messages."""
        return (
            f"the last good checkpoint is {self.path}"
            if self.path
            else "no checkpoint had been written yet"
        )


def _mean_of(name: str, rows: list[Losses]) -> Tensor:
    return torch.stack([row[name].float() for row in rows if name in row]).mean()


class ProgressBar:
    """Shows a run's progress in its budget's unit, its speed, and the latest validation."""

    def __init__(self, name: str, budget: Budget, progress: Progress) -> None:
        self._name = name
        self._budget = budget
        self._console = Console(file=sys.stderr, quiet=not is_first_rank())
        self._first = progress.images
        self._started = time.monotonic()
        self._note = ""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = RichProgress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._task = self._bar.add_task(
            name, total=budget.amount, completed=int(progress.count(budget.unit)), note=""
        )

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress, losses: Losses) -> None:
        speed = (progress.images - self._first) / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(
            self._task,
            completed=progress.count(self._budget.unit),
            note=f"{speed:.0f} images/s {self._note}",
        )

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False)

    def show(self, progress: Progress, metrics: dict[str, float]) -> None:
        """Shows a validation's metrics: beside the bar in a terminal, elsewhere as a line for each validation."""
        self._note = ", ".join(
            f"{METRICS[name].title} {metrics[name]:.{METRICS[name].digits}f}" for name in SHOWN
        )
        if not self._console.is_terminal:
            done = progress.count(self._budget.unit)
            self.say(f"{done:,.0f} of {self._budget.amount:,.0f} {self._budget.unit}, {self._note}")

"""The one training loop. It knows phases, not methods: n_critic, populations and pretraining need no branch here."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor

from common.config import Settings
from common.data.batches import Batch, Batches
from common.loop.engine import Engine

Losses = dict[str, Tensor]  # detached scalars; they become floats only when they are logged
Unit = Literal["images", "updates", "seconds"]


class Budget(Settings):
    """How long a run trains. Which unit makes a comparison fair depends on the study, so it is explicit."""

    amount: float = Field(default=100_000, gt=0)
    """Length of the training, measured in `unit`."""
    unit: Unit = "images"
    """Unit of the budget: `images` drawn, generator `updates`, or `seconds` of training steps; the other two are recorded too."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one kind of step; `amount` is its part of the budget, in the budget's unit.

    A schedule that depends on validations can end a phase early through `ended`; the rest of its amount stays unused. With
    `looks_first` a validation runs before the first step.
    """

    name: str
    step: Callable[[Iterator[Batch]], Losses]
    amount: float
    # of the generator and of the critic since the run's start
    updates: Callable[[], tuple[int, int]]
    ended: Callable[[], bool] = _never
    looks_first: bool = False


@dataclass
class Progress:
    """How far a run is. `images` counts over all ranks; `seconds` is time inside steps."""

    phase: int = 0
    # the count of the budget's unit at which this phase was to start
    phase_start: float = 0.0
    phase_begun: bool = False  # whether it has made a step
    images: int = 0
    updates: int = 0
    critic_updates: int = 0
    seconds: float = 0.0

    def count(self, unit: Unit) -> float:
        """The progress in one unit."""
        return float(
            {"images": self.images, "updates": self.updates, "seconds": self.seconds}[unit]
        )


# called after each step; it may raise to stop the run
Callback = Callable[[Progress, Losses], None]


def train(
    phases: Sequence[Phase],
    batches: Batches,
    unit: Unit,
    progress: Progress,
    engine: Engine,
    callbacks: Sequence[Callback],
    look: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Runs the phases from where `progress` is until each has used its amount; `progress` is advanced in place.

    A phase ends with the step that passes its amount; the next phase is shortened by the excess, so that
    excesses do not add up over many phases.

    Args:
        look: runs a validation; called before the first step of a phase with `looks_first`.
    """
    while progress.phase < len(phases):
        phase = phases[progress.phase]
        while _left(phase, progress, unit) > 0 and not phase.ended():
            if phase.looks_first and not progress.phase_begun:
                look(progress)
            losses = _timed_step(phase, batches, progress, engine)
            for callback in callbacks:
                callback(progress, losses)
        ended_early = _left(phase, progress, unit) > 0
        progress.phase_start = (
            progress.count(unit) if ended_early else progress.phase_start + phase.amount
        )
        progress.phase = progress.phase + 1
        progress.phase_begun = False
    return progress


def _left(phase: Phase, progress: Progress, unit: Unit) -> float:
    """What a phase has left of its amount; less than a millionth of it is taken for rounding error."""
    left = phase.amount - (progress.count(unit) - progress.phase_start)
    return left if left > 1e-6 * phase.amount else 0.0


def _timed_step(phase: Phase, batches: Batches, progress: Progress, engine: Engine) -> Losses:
    started = time.perf_counter()
    losses = phase.step(batches)
    engine.synchronise()
    progress.seconds += time.perf_counter() - started
    progress.phase_begun = True
    progress.images = batches.images
    progress.updates, progress.critic_updates = phase.updates()
    return losses

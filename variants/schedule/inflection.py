"""Detects when adversarial training should stop: the colours no longer improve although the adversarial loss still falls.

DeOldify's author looked at pictures to find this inflection. Here the detector compares a validation metric with the generator's
adversarial loss. If the metric gets worse while the loss still falls, the generator fools the critic by something other than
colour. If the metric gets worse while the loss rises, training is merely unstable, and the detector does nothing.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from common.colour.metrics import MEASURED, METRICS
from common.config import Settings

WATCHED = tuple(name for name in MEASURED if METRICS[name].direction < 0)  # lower is better


class InflectionConfig(Settings):
    """The inflection detector."""

    metric: Literal["off", *WATCHED] = "off"  # type: ignore[valid-type]
    """Validation metric to watch (lower is better); `off` trains to the end of the budget."""
    patience: int = Field(default=3, ge=1, le=100)
    """Number of consecutive validations that must be worse than the best one before adversarial training stops."""
    tolerance: float = Field(default=0.02, ge=0, le=1)
    """How much worse these validations must be, as a share of the best value, so that noise alone does not stop training."""


@dataclass(frozen=True)
class Validation:
    """One validation in the adversarial phase."""

    images: int
    metric: float
    # the mean loss since the previous validation; None before the phase's first step
    adversarial: float | None


class Inflection:
    """Watches one adversarial phase at a time."""

    def __init__(self, config: InflectionConfig) -> None:
        self._config = config
        self._round = 0
        self._validations: list[Validation] = []
        self._losses: list[float] = []
        self.decided = False

    def decided_in(self, number: int) -> bool:
        """Whether the adversarial phase of this round should end."""
        return self.decided and number == self._round

    @property
    def watches(self) -> str | None:
        """The metric's name, or None where the detector is off."""
        return None if self._config.metric == "off" else self._config.metric

    def open(self, images: int, metric: float) -> None:
        """Notes the validation before the next round's first adversarial step: the generator at that point may be the best one."""
        self._round = self._round + 1
        self._validations = [Validation(images, metric, None)]
        self._losses = []
        self.decided = False

    def note(self, number: int, adversarial: float) -> None:
        """Notes the loss of one step in the adversarial phase of round `number`; a new round resets the detector."""
        if number != self._round:
            self._round = number
            self._validations = []
            self._losses = []
            self.decided = False
        self._losses.append(adversarial)

    def pause(self) -> None:
        """Ignores validations until the next adversarial step; called in other phases."""
        self._losses = []

    @property
    def is_watching(self) -> bool:
        """Whether there were adversarial steps since the last validation."""
        return bool(self._losses)

    def observe(self, images: int, metric: float) -> bool:
        """Notes a validation after some steps of the phase; returns whether it is the best of this phase so far."""
        self._validations.append(Validation(images, metric, sum(self._losses) / len(self._losses)))
        self._losses = []
        self.decided = self._turned() and self._still_falling()
        return self.best is self._validations[-1]

    @property
    def best(self) -> Validation:
        """The validation with the lowest metric."""
        return min(self._validations, key=lambda look: look.metric)

    def state_dict(self) -> dict[str, Any]:
        """The detector's state, as plain values."""
        looks: list[list[Any]] = [
            [look.images, look.metric, look.adversarial] for look in self._validations
        ]
        return {
            "round": self._round,
            "looks": looks,
            "losses": list(self._losses),
            "decided": self.decided,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self._round = state["round"]
        self._losses = list(state["losses"])
        self.decided = state["decided"]
        self._validations = [
            Validation(int(images), metric, adversarial)
            for images, metric, adversarial in state["looks"]
        ]

    def _turned(self) -> bool:
        since = self._since_best()
        limit = self.best.metric * (1 + self._config.tolerance)
        return len(since) >= self._config.patience and all(
            look.metric > limit for look in since[-self._config.patience :]
        )

    def _still_falling(self) -> bool:
        """Whether the mean loss since the best validation is below the loss at it; below the first loss if it has none."""
        losses = [
            look.adversarial
            for look in [self.best, *self._since_best()]
            if look.adversarial is not None
        ]
        at_best = losses[0]
        since = losses if self.best.adversarial is None else losses[1:]
        return sum(since) / len(since) < at_best

    def _since_best(self) -> list[Validation]:
        return self._validations[self._validations.index(self.best) + 1 :]

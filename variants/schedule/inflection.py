"""Where adversarial training should stop: the colours have stopped getting better while the game still goes well.

DeOldify's author looked at pictures to find this inflection. Here a validation metric is watched beside the generator's
adversarial loss. A metric that turns while that loss still falls means that the generator fools the critic by what is not
colour; a metric that turns while the loss rises is just unstable training, and is left alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from common.colour.metrics import MEASURED, METRICS
from common.config import Settings

WATCHED = tuple(name for name in MEASURED if METRICS[name].direction < 0)  # lower is better


class InflectionConfig(Settings):
    """The detector."""

    metric: Literal["off", *WATCHED] = "off"  # type: ignore[valid-type]
    """Validation metric to watch, lower is better; `off` trains to the end of the budget."""
    patience: int = Field(default=3, ge=1, le=100)
    """Validations in a row that must be worse than the best one."""
    tolerance: float = Field(default=0.02, ge=0, le=1)
    """How much worse they must be, as a share of the best value, to be more than noise."""


@dataclass(frozen=True)
class Look:
    """One validation in the adversarial phase."""

    images: int
    metric: float
    adversarial: float | None  # the mean loss since the look before; None before the phase's first step


class Inflection:
    """Watches one adversarial phase at a time."""

    def __init__(self, config: InflectionConfig) -> None:
        self._config = config
        self._round = 0
        self._looks: list[Look] = []
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
        """A look before the first step of the next round: the generator that goes into the game may be the best there is."""
        self._round, self._looks, self._losses, self.decided = self._round + 1, [Look(images, metric, None)], [], False

    def note(self, number: int, adversarial: float) -> None:
        """One step of the adversarial phase of round `number`; a new round starts afresh."""
        if number != self._round:
            self._round, self._looks, self._losses, self.decided = number, [], [], False
        self._losses.append(adversarial)

    def pause(self) -> None:
        """Another phase is on: what it shows is not to be seen."""
        self._losses = []

    @property
    def is_watching(self) -> bool:
        """Whether steps of an adversarial phase were made since the last look."""
        return bool(self._losses)

    def observe(self, images: int, metric: float) -> bool:
        """A validation after some steps of the phase; tells whether it is the best of this phase so far."""
        self._looks.append(Look(images, metric, sum(self._losses) / len(self._losses)))
        self._losses = []
        self.decided = self._turned() and self._still_falling()
        return self.best is self._looks[-1]

    @property
    def best(self) -> Look:
        """The validation with the lowest metric."""
        return min(self._looks, key=lambda look: look.metric)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        looks: list[list[Any]] = [[look.images, look.metric, look.adversarial] for look in self._looks]
        return {"round": self._round, "looks": looks, "losses": list(self._losses), "decided": self.decided}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self._round, self._losses, self.decided = state["round"], list(state["losses"]), state["decided"]
        self._looks = [Look(int(images), metric, adversarial) for images, metric, adversarial in state["looks"]]

    def _turned(self) -> bool:
        since = self._since_best()
        limit = self.best.metric * (1 + self._config.tolerance)
        return len(since) >= self._config.patience and all(look.metric > limit for look in since[-self._config.patience :])

    def _still_falling(self) -> bool:
        """The adversarial loss since the best validation is lower than at it; where the game has only begun, than at first."""
        losses = [look.adversarial for look in [self.best, *self._since_best()] if look.adversarial is not None]
        at_best, since = losses[0], losses if self.best.adversarial is None else losses[1:]
        return sum(since) / len(since) < at_best

    def _since_best(self) -> list[Look]:
        return self._looks[self._looks.index(self.best) + 1 :]

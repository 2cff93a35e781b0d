"""The search space of a sweep: ranges of hyper-parameters, to which each variant adds its own."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from common.config import Settings

Value = str | int | float | bool


class Dimension(Settings):
    """The search range of one field."""

    when: dict[str, Value] = Field(default={})
    """Search this field only if other fields of the space have these values; empty: always."""

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the values chosen so far meet the condition `when`."""
        return all(chosen.get(path) == value for path, value in self.when.items())


class Number(Dimension):
    """A real number between two bounds, searched on a linear or a logarithmic scale."""

    kind: Literal["number"] = "number"
    """The kind of range."""
    low: float
    """The smallest value."""
    high: float
    """The largest value."""
    log: bool = False
    """Whether to search on a logarithmic scale."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Number":
        if self.low >= self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic scale needs low above 0")
        return self

    def holds(self, value: Any) -> bool:
        """Whether a value lies between the bounds."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def grid(self, points: int) -> list[Any]:
        """Evenly spaced values, both bounds included."""
        steps = [i / max(1, points - 1) for i in range(points)]
        if self.log:
            return [
                math.exp(math.log(self.low) + s * (math.log(self.high) - math.log(self.low)))
                for s in steps
            ]
        return [self.low + s * (self.high - self.low) for s in steps]


class Whole(Number):
    """A whole number between two bounds."""

    kind: Literal["whole"] = "whole"  # type: ignore[assignment]
    """The kind of range."""

    def grid(self, points: int) -> list[Any]:
        """Evenly spaced whole numbers without duplicates."""
        return list(dict.fromkeys(round(value) for value in super().grid(points)))


class Choice(Dimension):
    """A field with a few options."""

    kind: Literal["choice"] = "choice"
    """The kind of range."""
    options: tuple[Value, ...] = Field(min_length=1)
    """The options."""

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the options."""
        return value in self.options

    def grid(self, points: int) -> list[Any]:
        """All options."""
        return list(self.options)


# path of a field in a run's settings -> its range
Space = dict[str, Number | Whole | Choice]


def log_range(low: float, high: float) -> Number:
    """A range that is searched on a logarithmic scale."""
    return Number(low=low, high=high, log=True)


GENERATOR_SPACE: Space = {
    "variant.generator.adam.learning_rate": log_range(5e-5, 2e-3),
    "variant.generator.adam.decay": Choice(options=("constant", "linear")),
    "variant.generator.adam.decay_from": Number(
        low=0.2, high=0.8, when={"variant.generator.adam.decay": "linear"}
    ),
    "variant.reconstruction.loss": Choice(options=("l1", "l2")),
}
ADVERSARIAL_SPACE: Space = GENERATOR_SPACE | {
    "variant.critic.adam.learning_rate": log_range(2e-5, 1e-3),
    "variant.reconstruction_weight": log_range(10.0, 1000.0),
}

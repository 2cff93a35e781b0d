"""Search spaces: which fields of a run a sweep varies, between which bounds, and under which condition."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal

import optuna
from pydantic import Field, model_validator

from common.config import Settings, parse
from common.errors import ColourbenchError, did_you_mean

Value = str | int | float | bool


class Dimension(Settings):
    """One field's range."""

    when: dict[str, Value] = Field(default={})
    """Only where other fields of the space have these values."""

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the fields chosen so far call for this one."""
        return all(chosen.get(path) == value for path, value in self.when.items())


class Number(Dimension):
    """A real field between two bounds, on a linear or a logarithmic scale."""

    kind: Literal["number"] = "number"
    """The kind of range."""
    low: float
    """The least value."""
    high: float
    """The greatest value."""
    log: bool = False
    """Whether orders of magnitude are searched evenly."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Number":
        if self.low >= self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic scale needs low above 0")
        return self

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        """A value for this trial."""
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def grid(self, points: int) -> list[Any]:
        """Evenly spaced values, both bounds included."""
        steps = [i / max(1, points - 1) for i in range(points)]
        if self.log:
            return [math.exp(math.log(self.low) + s * (math.log(self.high) - math.log(self.low))) for s in steps]
        return [self.low + s * (self.high - self.low) for s in steps]


class Whole(Number):
    """A whole number between two bounds."""

    kind: Literal["whole"] = "whole"  # type: ignore[assignment]
    """The kind of range."""

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        """A value for this trial."""
        return trial.suggest_int(path, round(self.low), round(self.high), log=self.log)

    def grid(self, points: int) -> list[Any]:
        """Evenly spaced whole numbers, none twice."""
        return list(dict.fromkeys(round(value) for value in super().grid(points)))


class Choice(Dimension):
    """A field with a few options."""

    kind: Literal["choice"] = "choice"
    """The kind of range."""
    options: tuple[Value, ...] = Field(min_length=1)
    """The options."""

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        """A value for this trial."""
        return trial.suggest_categorical(path, list(self.options))

    def grid(self, points: int) -> list[Any]:
        """All options."""
        return list(self.options)


Space = dict[str, Number | Whole | Choice]  # path of a field in a run's settings -> where to look


class SpaceFile(Settings):
    """What a YAML file or a study says of a search space: fields to narrow, widen or add; null takes one out."""

    fields: dict[str, Annotated[Number | Whole | Choice, Field(discriminator="kind")] | None]
    """By the field's path."""


def _numbers(**bounds: tuple[float, float]) -> Space:
    return {path.replace("__", "."): Number(low=low, high=high, log=True) for path, (low, high) in bounds.items()}


_GENERATOR: Space = {
    **_numbers(variant__generator__adam__learning_rate=(5e-5, 2e-3)),
    "variant.generator.adam.decay": Choice(options=("constant", "linear")),
    "variant.generator.adam.decay_from": Number(low=0.2, high=0.8, when={"variant.generator.adam.decay": "linear"}),
    "variant.reconstruction.loss": Choice(options=("l1", "l2")),
}
_ADVERSARIAL: Space = _GENERATOR | _numbers(
    variant__critic__adam__learning_rate=(2e-5, 1e-3), variant__reconstruction_weight=(10.0, 1000.0)
)

SPACES: dict[str, Space] = {
    "regression": _GENERATOR,
    "cgan": _ADVERSARIAL,
    "wgan_gp": _ADVERSARIAL | {"variant.n_critic": Choice(options=(1, 2, 5)), **_numbers(variant__penalty_weight=(1.0, 30.0))},
    "egan": _ADVERSARIAL | _numbers(variant__diversity_weight=(0.001, 0.5)),
}

# Settings of the papers, tried before anything is searched; fields that a preset does not name keep the run's own values.
PRESETS: dict[str, list[dict[str, Value]]] = {
    "wgan_gp": [{"variant.n_critic": 1, "variant.generator.adam.learning_rate": 5e-5}],  # ChromaGAN: one critic update, a low rate
    "egan": [{"variant.diversity_weight": 0.01}],  # the lower end of Wang et al. 2019
}


def space_of(variant: str, changes: Mapping[str, Any] | None = None) -> Space:
    """The search space of a variant, with a file's changes.

    Raises:
        ColourbenchError: it has none, or a change names no range.
    """
    if variant not in SPACES:
        raise ColourbenchError(f"the variant {variant} has no search space yet; add one to studies/sweeps/spaces.py")
    own = SPACES[variant]
    laid = {path: _laid_over(own.get(path), change) for path, change in (changes or {}).items()}
    given = parse(SpaceFile, {"fields": laid}, "the search space").fields
    merged: dict[str, Any] = {**own, **given}
    space = {path: dimension for path, dimension in merged.items() if dimension is not None}
    if not space:
        raise ColourbenchError("the search space is empty: nothing is left to vary")
    return space


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """One value for every field of the space whose condition holds."""
    chosen: dict[str, Any] = {}
    for path, dimension in space.items():
        if dimension.applies(chosen):
            chosen[path] = dimension.suggest(trial, path)
    return chosen


def grid(space: Space, points: int) -> list[dict[str, Any]]:
    """Every combination of the options and of `points` values of each number; conditions hold in each."""
    combinations = []
    for values in product(*(dimension.grid(points) for dimension in space.values())):
        chosen: dict[str, Any] = {}
        for (path, dimension), value in zip(space.items(), values, strict=True):
            if dimension.applies(chosen):
                chosen[path] = value
        combinations.append(chosen)
    return [dict(items) for items in dict.fromkeys(tuple(chosen.items()) for chosen in combinations)]


def check_fields(space: Space, known: Mapping[str, Any]) -> None:
    """Every field of a space must be one of a run's.

    Raises:
        ColourbenchError: one is not; the message proposes what it may have meant.
    """
    for path in space:
        if path not in known:
            raise ColourbenchError(f"the search space: {path} is not a field of this run{did_you_mean(path, known)}")


def _laid_over(own: Any, change: Any) -> Any:
    """A change of a known field may name only what differs."""
    if not isinstance(change, Mapping):
        return change
    kind = {"choice": "options" in change, "number": "low" in change or "high" in change}
    guessed = {"kind": next((name for name, fits in kind.items() if fits), "choice")}
    if own is None or "options" in change:
        return guessed | dict(change)
    return own.model_dump(mode="json") | dict(change)

"""Search spaces: which fields of a run a sweep varies, between which bounds, and under which condition."""

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field

from common.config import Settings, parse
from common.errors import ColourbenchError, did_you_mean
from variants.contract.ranges import Choice, Number, Space, Whole
from variants.registry import variant_class


class SpaceFile(Settings):
    """Changes to a search space, from a YAML file or a sweep: fields to narrow, widen or add; null removes one."""

    fields: dict[str, Annotated[Number | Whole | Choice, Field(discriminator="kind")] | None]
    """Ranges by the path of the field."""


def space_of(variant: str, changes: Mapping[str, Any] | None = None) -> Space:
    """Returns the search space of a variant, with the changes applied.

    Raises:
        ColourbenchError: a change is not a valid range, or nothing is left to vary.
    """
    own = variant_class(variant).space
    changed = {path: _laid_over(own.get(path), change) for path, change in (changes or {}).items()}
    given = parse(SpaceFile, {"fields": changed}, "the search space").fields
    merged: dict[str, Any] = {**own, **given}
    space = {path: dimension for path, dimension in merged.items() if dimension is not None}
    if not space:
        raise ColourbenchError("the search space is empty: nothing is left to vary")
    return space


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Suggests one value for every field of the space whose condition holds."""
    chosen: dict[str, Any] = {}
    for path, dimension in space.items():
        if dimension.applies(chosen):
            chosen[path] = _suggest(trial, path, dimension)
    return chosen


def _suggest(trial: optuna.Trial, path: str, dimension: Number | Whole | Choice) -> Any:
    match dimension:
        case Choice():
            return trial.suggest_categorical(path, list(dimension.options))
        case Whole():
            return trial.suggest_int(
                path, round(dimension.low), round(dimension.high), log=dimension.log
            )
    return trial.suggest_float(path, dimension.low, dimension.high, log=dimension.log)


def distribution(dimension: Number | Whole | Choice) -> BaseDistribution:
    """What Optuna keeps of a field's range: the one that `suggest` draws from."""
    match dimension:
        case Choice():
            return CategoricalDistribution(dimension.options)
        case Whole():
            return IntDistribution(round(dimension.low), round(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def within(
    space: Space, base: Mapping[str, Any], chosen: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A trial's values for the fields of another space: none if the trial lies outside of it.

    Args:
        base: the settings that all trials share, by path; a field that the trial did not vary had its value from there.
        chosen: the trial's values in its own space.
    """
    values = {**base, **chosen}
    inside: dict[str, Any] = {}
    for path, dimension in space.items():
        if not dimension.applies(inside):
            continue
        if not dimension.holds(values[path]):
            return None
        inside[path] = values[path]
    fixed_otherwise = any(
        base[path] != value for path, value in chosen.items() if path not in inside
    )
    return None if fixed_otherwise else inside


def grid(space: Space, points: int) -> list[dict[str, Any]]:
    """Returns every combination of the options and of `points` values of each number; conditions hold in each."""
    combinations = []
    for values in product(*(dimension.grid(points) for dimension in space.values())):
        chosen: dict[str, Any] = {}
        for (path, dimension), value in zip(space.items(), values, strict=True):
            if dimension.applies(chosen):
                chosen[path] = value
        combinations.append(chosen)
    return [
        dict(items) for items in dict.fromkeys(tuple(chosen.items()) for chosen in combinations)
    ]


def check_fields(space: Space, known: Mapping[str, Any]) -> None:
    """Checks that every field of a space is a field of a run.

    Raises:
        ColourbenchError: one is not; the message suggests a similar field.
    """
    for path in space:
        if path not in known:
            raise ColourbenchError(
                f"the search space: {path} is not a field of this run{did_you_mean(path, known)}"
            )


def _laid_over(own: Any, change: Any) -> Any:
    """Completes a change: for a known field it may name only what differs."""
    if not isinstance(change, Mapping):
        return change
    kind = {"choice": "options" in change, "number": "low" in change or "high" in change}
    guessed = {"kind": next((name for name, fits in kind.items() if fits), "choice")}
    if own is None or "options" in change:
        return guessed | dict(change)
    return own.model_dump(mode="json") | dict(change)

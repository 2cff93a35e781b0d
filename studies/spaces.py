"""Search spaces: which fields of a run a sweep varies, and between which bounds."""

from dataclasses import dataclass
from typing import Any

import optuna

from common.errors import ColourbenchError


@dataclass(frozen=True)
class Number:
    """A real field between two bounds, on a linear or a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        """A value for this trial."""
        return trial.suggest_float(path, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """A field with a few options."""

    options: tuple[str | int | float | bool, ...]

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        """A value for this trial."""
        return trial.suggest_categorical(path, list(self.options))


Space = dict[str, Number | Choice]  # path of a field in a run's settings -> where to look

_GENERATOR: Space = {
    "variant.generator.adam.learning_rate": Number(5e-5, 2e-3, log=True),
    "variant.reconstruction.loss": Choice(("l1", "l2")),
}
_ADVERSARIAL: Space = _GENERATOR | {
    "variant.critic.adam.learning_rate": Number(2e-5, 1e-3, log=True),
    "variant.reconstruction_weight": Number(10.0, 1000.0, log=True),
}

SPACES: dict[str, Space] = {
    "regression": _GENERATOR,
    "cgan": _ADVERSARIAL,
    "wgan_gp": _ADVERSARIAL | {"variant.n_critic": Choice((1, 2, 5)), "variant.penalty_weight": Number(1.0, 30.0, log=True)},
    "egan": _ADVERSARIAL | {"variant.diversity_weight": Number(0.001, 0.5, log=True)},
}


def space_of(variant: str) -> Space:
    """The search space of a variant.

    Raises:
        ColourbenchError: it has none.
    """
    if variant not in SPACES:
        raise ColourbenchError(f"the variant {variant} has no search space yet; add one to studies/spaces.py")
    return SPACES[variant]


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """One value for every field of the space."""
    return {path: place.suggest(trial, path) for path, place in space.items()}

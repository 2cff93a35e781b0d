"""The runs of a study: the settings of each arm, with each of its seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from common.config import as_json, flatten, merge, override, parse
from common.errors import ColourbenchError, did_you_mean
from studies.comparisons.study import Study, read
from studies.runs.configuration import RunConfig
from studies.sweeps.outcome import Tuned, untuned


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    arm: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """The run's name."""
        return f"{self.arm} seed {self.seed}"


BestOf = Callable[[str], Tuned]  # a sweep's name -> what it found


def cells(study: Study, best_of: BestOf) -> list[Cell]:
    """Returns every arm x seed, with seeds as the outer loop, so that a half-finished study covers all arms.

    Raises:
        ColourbenchError: an arm has an invalid field.
    """
    configs = {arm: arm_fields(study, arm, best_of) for arm in study.trained}
    return list(_cells(study, configs))


def _cells(study: Study, configs: dict[str, dict[str, Any]]) -> Iterator[Cell]:
    for seeds in zip_longest(*(study.seeds_of(arm) for arm in configs)):
        for (arm, fields), seed in zip(configs.items(), seeds, strict=True):
            if seed is not None:
                yield Cell(
                    arm,
                    seed,
                    parse(RunConfig, fields | {"seed": seed}, f"study {study.name}, arm {arm}"),
                )


def arm_fields(study: Study, arm: str, best_of: BestOf) -> dict[str, Any]:
    """Returns all fields of an arm's runs except the seed.

    Raises:
        ColourbenchError: the arm or the defaults set data set, budget or seed, which the study decides.
    """
    own = study.arms[arm]
    changes = merge(study.arms[own["like"]], own) if "like" in own else dict(own)
    changes = {name: value for name, value in changes.items() if name not in ("like", "seeds")}
    for fixed in ("dataset", "budget", "seed"):
        if fixed in changes or fixed in study.defaults:
            raise ColourbenchError(
                f"study {study.name}, arm {arm}: {fixed} is the study's and the same for every arm; set it at the top"
            )
    sweep = changes.pop("best_of", None)
    found = best_of(sweep).fields if sweep else {}
    fields = merge(merge(study.defaults, found), changes)
    return fields | {"dataset": study.dataset, "budget": study.budget.model_dump()}


def tuned_arms(study: Study, best_of: BestOf) -> dict[str, Tuned]:
    """What sweeps found for the arms that take it over."""
    sweeps = {
        arm: study.arms[fields.get("like", arm)] | fields for arm, fields in study.trained.items()
    }
    return {
        arm: best_of(str(fields["best_of"]))
        for arm, fields in sweeps.items()
        if fields.get("best_of")
    }


def check_tuned(
    study: Study, planned: Sequence[Cell], found: Mapping[str, Tuned], dataset_sha256: str
) -> None:
    """Checks that each arm is what its sweep tuned: the same data, and the same settings but for the fields that were varied.

    Raises:
        ColourbenchError: an arm differs from its sweep in a field that neither the sweep varied nor the arm names itself.
    """
    for arm, tuned in found.items():
        if tuned.dataset_sha256 != dataset_sha256:
            raise ColourbenchError(
                f"study {study.name}, arm {arm}: best_of={tuned.sweep} was tuned on another data set"
            )
        own = next(cell.config for cell in planned if cell.arm == arm)
        now = _compared(as_json(own))
        then = _compared(tuned.base) | flatten(tuned.fields)
        named = flatten(study.arms[arm])
        wrong = [
            name for name in now if name not in named and now[name] != then.get(name, now[name])
        ]
        if wrong:
            name = wrong[0]
            raise ColourbenchError(
                f"study {study.name}, arm {arm}: best_of={tuned.sweep} was tuned with {name}={then[name]}, and the arm has "
                f"{now[name]}; give the arm or the defaults that value, or sweep again"
            )


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a sweep and its arm must share, by path."""
    shared = ("variant", "schedule", "batches", "start_from")
    return flatten({name: settings[name] for name in shared if name in settings})


def arm_settings(path: Path, arm: str, dataset: str | None, changes: list[str]) -> RunConfig:
    """Returns the settings of one arm of a study's file, with `dataset` and `changes` applied.

    Raises:
        ColourbenchError: there is no such arm.
    """
    study = read(path)
    if arm not in study.trained:
        known = ", ".join(study.trained)
        raise ColourbenchError(
            f"{path} trains no arm {arm!r}{did_you_mean(arm, study.trained)}; it trains {known}"
        )
    fields = arm_fields(study, arm, untuned)
    return parse(
        RunConfig,
        override(fields | ({"dataset": dataset} if dataset else {}), changes),
        f"{path}, arm {arm}",
    )

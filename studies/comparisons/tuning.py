"""Tunes every arm of a study with equal effort: the same number of trials and of images for each, on the validation split."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from common.config import parse
from studies.comparisons.cells.arms import arm_fields
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps.launcher import run_sweep
from studies.sweeps.outcome import tuned
from studies.sweeps.sweep import Sweep

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tuning:
    """The effort for each arm, and where it is spent."""

    trials: int
    images: int
    workers: int = 1
    storage: str = ""


def tune_arms(home: Home, study: Study, tuning: Tuning, say: Say) -> Study:
    """Sweeps every trained arm that names no sweep of its own, and returns the study with `best_of` in these arms.

    A finished sweep is not run again.
    """
    arms = dict(study.arms)
    for arm, fields in study.trained.items():
        if "best_of" in fields or "like" in fields:
            continue
        sweep = _sweep_of(home, study, arm, tuning)
        say(f"tuning {arm}: {tuning.trials} trials of {tuning.images:,} images")
        run_sweep(home, sweep, say, tuning.workers)
        arms[arm] = fields | {"best_of": sweep.name}
    return study.model_copy(update={"arms": arms})


def _sweep_of(home: Home, study: Study, arm: str, tuning: Tuning) -> Sweep:
    fields = arm_fields(study, arm, lambda name: tuned(home, name, tuning.storage))
    budget = {"amount": tuning.images, "unit": "images"}
    base = parse(RunConfig, fields | {"budget": budget}, f"study {study.name}, arm {arm}")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{study.name}-{study.dataset}-{arm}")
    return Sweep(name=name, base=base, trials=tuning.trials, storage=tuning.storage)

"""A worker of a sweep: takes trials from the store one after another until there are enough. It keeps no state of its own."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from common import checkpoint
from common.config import as_json, parse
from common.errors import ColourbenchError, Interrupted
from common.files import locked
from common.shards import Dataset
from common.tracking import Run
from studies.home import Home
from studies.run import Place, train_run
from studies.run_config import RunConfig
from studies.sweeps import claims
from studies.sweeps.spaces import suggest
from studies.sweeps.sweep import COSTS, OBJECTIVES, Sweep, assign

Say = Callable[[str], None]
FAILURES_IN_A_ROW = 3


@dataclass
class Worker:
    """One process that works on a sweep."""

    home: Home
    sweep: Sweep
    study: optuna.Study
    dataset: Dataset
    parent: Run
    say: Say
    until: float = float("inf")  # when no new trial is begun any more
    _failures: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.space = self.sweep.search_space()

    def work(self) -> None:
        """Runs trials until the sweep has all it should have, or the time is up.

        Raises:
            Interrupted: a signal came; the trial under way is queued again.
            ColourbenchError: three trials in a row failed.
        """
        launcher = os.getppid()
        while os.getppid() == launcher:  # a worker whose launcher was killed ends after its trial
            trial = claims.claim(self.study, lock(self.home, self.sweep), self.sweep.trials, self.until)
            if trial is None:
                return
            with claims.alive(self.study, trial):
                self._run(trial)

    def _run(self, trial: optuna.Trial) -> None:
        number = int(trial.user_attrs["run"])
        try:
            values = self._values(trial, number)
        except optuna.TrialPruned:
            self._forget_checkpoints(number)
            self._tell(trial, TrialState.PRUNED)
            self.say(f"trial {number:03d} pruned: worse than others at the same point")
        except Interrupted:
            with locked(lock(self.home, self.sweep)):
                claims.queue_again(self.study, self.study.trials[trial.number])
                self._tell(trial, TrialState.FAIL)
            raise
        except ColourbenchError as error:
            self._fail(trial, number, error)
            return
        else:
            self.study.tell(trial, values)
            figures = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.sweep.objectives, values, strict=True))
            self.say(f"trial {number:03d} {figures}")
        self._failures = 0

    def _fail(self, trial: optuna.Trial, number: int, error: ColourbenchError) -> None:
        self._tell(trial, TrialState.FAIL)
        self.say(f"trial {number:03d} failed: {error}")
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise ColourbenchError(f"three trials in a row failed; the last one: {error}") from None

    def _values(self, trial: optuna.Trial, number: int) -> list[float]:
        config = trial_config(self.sweep, suggest(self.space, trial), number)
        interval = config.budget.amount / config.watch.validations
        watched = self.sweep.objectives[0]

        def report(validation: int, metrics: dict[str, float]) -> None:
            if self.sweep.prunes:
                trial.report(metrics[watched], round(validation * interval))  # the planned count, so that trials meet
                if validation > config.watch.validations / 3 and trial.should_prune():  # the first figures of a GAN say little
                    raise optuna.TrialPruned

        tags = {"kind": "trial", "sweep": self.sweep.name, "trial": str(number)}
        place = Place(self.sweep.experiment, run_name(self.sweep, number), tags, self.parent)
        run = train_run(self.home.store, self.dataset, config, place, report, test=False)
        trial.set_user_attr("mlflow_run", run.id)
        metrics = self.home.store.run(run.id).metrics
        self._limit(trial, metrics)
        return objective_values(self.sweep, metrics)

    def _limit(self, trial: optuna.Trial, metrics: dict[str, float]) -> None:
        """Tells the sampler, and the ranking, by how much the trial went beyond the sweep's limits."""
        limits = {"seconds": self.sweep.max_seconds, "peak_memory_gb": self.sweep.max_memory_gb}
        beyond = {name: metrics[name] - most for name, most in limits.items() if most is not None}
        for name, excess in beyond.items():
            trial.set_constraint(name, excess)
        if beyond:
            trial.set_user_attr("limits", beyond)

    def _tell(self, trial: optuna.Trial, state: TrialState) -> None:
        self.study.tell(trial, state=state)

    def _forget_checkpoints(self, number: int) -> None:
        """A pruned trial is never taken up again."""
        for run in self.home.store.find(self.sweep.experiment, {"mlflow.runName": run_name(self.sweep, number)}):
            checkpoint.remove_all(run.folder)


def trial_config(sweep: Sweep, chosen: dict[str, Any], number: int, seed: int | None = None) -> RunConfig:
    """The settings of a trial's run."""
    fields = as_json(sweep.base)
    for path, value in chosen.items():
        assign(fields, path, value)
    if seed is not None:
        fields["seed"] = seed
    return parse(RunConfig, fields, f"sweep {sweep.name}, trial {number}")


def objective_values(sweep: Sweep, metrics: dict[str, float]) -> list[float]:
    """The objectives of a finished run, from its last validation and its cost."""
    names = [name if name in COSTS else f"validation/{name}" for name in sweep.objectives if name in OBJECTIVES]
    return [metrics[name] for name in names]


def run_name(sweep: Sweep, number: int) -> str:
    """The MLflow run's name."""
    return f"{sweep.name} trial {number:03d}"


def lock(home: Home, sweep: Sweep) -> Path:
    """Held while trials are claimed."""
    return home.path / "locks" / f"{sweep.name}.claim.lock"


def time_left(hours: float | None) -> float:
    """When a budget of hours from now ends."""
    return time.time() + 3600 * hours if hours is not None else float("inf")

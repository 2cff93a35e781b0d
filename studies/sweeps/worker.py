"""A worker of a sweep: takes trials from the store one after another until there are enough. It keeps no state of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from common.config import as_json, assign, parse
from common.data.shards import Dataset
from common.errors import ColourbenchError, Interrupted
from common.loop import checkpoint
from common.system.locks import locked
from common.tracking import Run
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, RunOptions, train_run
from studies.runs.training import Pruned, Report
from studies.sweeps import claims
from studies.sweeps.settings import COSTS, OBJECTIVES
from studies.sweeps.spaces import suggest
from studies.sweeps.sweep import Sweep, sampler_of

Say = Callable[[str], None]
FAILURES_IN_A_ROW = 3


@dataclass(frozen=True)
class Work:
    """A sweep that is being run: its home, settings, stores and end time."""

    home: Home
    sweep: Sweep
    study: optuna.Study
    dataset: Dataset
    parent: Run
    say: Say
    until: float = float("inf")  # the time after which no new trial starts

    @property
    def claim_lock(self) -> Path:
        """The lock file that is held while trials are claimed."""
        return self.home.lock(f"{self.sweep.name}.claim")

    @property
    def is_complete(self) -> bool:
        """Whether the sweep has all its trials."""
        return len(self.ended()) >= self.sweep.trials

    def ended(self) -> list[FrozenTrial]:
        """Returns the complete and pruned trials."""
        return self.study.get_trials(deepcopy=False, states=claims.FINAL)

    def run_name(self, number: int) -> str:
        """Returns the name of a trial's run in MLflow."""
        return f"{self.sweep.name} trial {number:03d}"

    def train(
        self, number: int, config: RunConfig, report: Report | None = None, seed: int | None = None
    ) -> Run:
        """Trains a trial, or repeats it with another seed, and returns its finished run."""
        sweep = self.sweep
        name = self.run_name(number)
        kind = "trial" if seed is None else "repeat"
        tags = {"kind": kind, "sweep": sweep.name, "trial": str(number)}
        place = Place(
            sweep.experiment, name if seed is None else f"{name} seed {seed}", tags, self.parent
        )
        # a finished repeat needs only its metrics, not its files
        options = RunOptions(report, test=False, needs_files=seed is None)
        run = train_run(self.home.store, self.dataset, config, place, options)
        return self.home.store.run(run.id)


class Worker:
    """One process that works on a sweep.

    Args:
        is_alone: whether the process that launched this one has ended; then it takes no new trial.
    """

    def __init__(self, work: Work, is_alone: Callable[[], bool] = bool) -> None:
        self._work = work
        self._is_alone = is_alone
        self._space = work.sweep.search_space()
        self._failures = 0

    def work(self) -> None:
        """Runs trials until the sweep has all its trials, or the time is up.

        Raises:
            Interrupted: a signal arrived; the current trial is queued again.
            ColourbenchError: three trials in a row failed.
        """
        while not self._is_alone():
            sampler = partial(sampler_of, self._work.sweep)
            trial = claims.claim(
                self._work.study,
                self._work.claim_lock,
                self._work.sweep.trials,
                self._work.until,
                sampler,
            )
            if trial is None:
                return
            with claims.alive(self._work.study, trial):
                self._run(trial)

    def _run(self, trial: optuna.Trial) -> None:
        number = int(trial.user_attrs["run"])
        study = self._work.study
        try:
            values = self._values(trial, number)
        except Pruned:
            self._forget_checkpoints(number)
            study.tell(trial, state=TrialState.PRUNED)
            self._work.say(f"trial {number:03d} pruned: worse than others at the same point")
        except Interrupted:
            with locked(self._work.claim_lock):
                claims.queue_again(study, study.trials[trial.number])
                study.tell(trial, state=TrialState.FAIL)
            raise
        except ColourbenchError as error:
            self._fail(trial, number, error)
            return
        else:
            study.tell(trial, values)
            figures = ", ".join(
                f"{name} {value:.4g}"
                for name, value in zip(self._work.sweep.objectives, values, strict=True)
            )
            self._work.say(f"trial {number:03d} {figures}")
        self._failures = 0

    def _fail(self, trial: optuna.Trial, number: int, error: ColourbenchError) -> None:
        self._work.study.tell(trial, state=TrialState.FAIL)
        self._work.say(f"trial {number:03d} failed: {error}")
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise ColourbenchError(f"three trials in a row failed; the last one: {error}") from None

    def _values(self, trial: optuna.Trial, number: int) -> list[float]:
        sweep = self._work.sweep
        config = trial_config(sweep, suggest(self._space, trial), number)
        watched = sweep.objectives[0]
        interval = config.budget.amount / config.watch.validations

        def report(validation: int, metrics: dict[str, float]) -> None:
            if sweep.prunes:
                # the planned count, so that trials meet
                trial.report(metrics[watched], round(validation * interval))
                # the first figures of a GAN say little
                if validation > config.watch.validations / 3 and trial.should_prune():
                    raise Pruned

        run = self._work.train(number, config, report)
        trial.set_user_attr("mlflow_run", run.id)
        self._limit(trial, run.metrics)
        return objective_values(sweep, run.metrics)

    def _limit(self, trial: optuna.Trial, metrics: dict[str, float]) -> None:
        """Records, for the sampler and the ranking, by how much the trial exceeded the sweep's limits."""
        limits = {
            "seconds": self._work.sweep.max_seconds,
            "peak_memory_gb": self._work.sweep.max_memory_gb,
        }
        beyond = {name: metrics[name] - most for name, most in limits.items() if most is not None}
        for name, excess in beyond.items():
            trial.set_constraint(name, excess)
        if beyond:
            trial.set_user_attr("limits", beyond)

    def _forget_checkpoints(self, number: int) -> None:
        """Deletes a pruned trial's checkpoints: it never resumes."""
        for run in self._work.home.store.find(
            self._work.sweep.experiment, {"mlflow.runName": self._work.run_name(number)}
        ):
            checkpoint.remove_all(run.folder)


def trial_config(
    sweep: Sweep, chosen: dict[str, Any], number: int, seed: int | None = None
) -> RunConfig:
    """Returns the settings of a trial's run."""
    fields = as_json(sweep.base)
    for path, value in chosen.items():
        assign(fields, path, value)
    if seed is not None:
        fields["seed"] = seed
    return parse(RunConfig, fields, f"sweep {sweep.name}, trial {number}")


def objective_values(sweep: Sweep, metrics: dict[str, float]) -> list[float]:
    """Returns the objectives of a finished run, from its last validation and its cost."""
    names = [
        name if name in COSTS else f"validation/{name}"
        for name in sweep.objectives
        if name in OBJECTIVES
    ]
    return [metrics[name] for name in names]

"""Launches a sweep: one worker in this process, or several processes on this machine, and reports the outcome.

Any number of launchers may work on one sweep, on any number of hosts: they share nothing but the stores and the home folder.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from common.config import sha256
from common.errors import Busy, ColourbenchError, Interrupted
from common.system.atomic import PRIVATE, write_atomically
from common.system.locks import locked
from common.system.processes import Team, launcher_watch, one_share
from common.system.signals import interrupt_on_signal
from common.tracking import Run
from studies.home import Home
from studies.sweeps import champion, claims
from studies.sweeps.outcome import best_trial, ranking
from studies.sweeps.settings import COSTS, OBJECTIVES
from studies.sweeps.status import Board
from studies.sweeps.sweep import Sweep, open_study
from studies.sweeps.worker import Say, Work, Worker, objective_values, trial_config


def run_sweep(
    home: Home, sweep: Sweep, say: Say = print, workers: int = 1, hours: float | None = None
) -> FrozenTrial:
    """Runs trials until the sweep has `trials` finished ones, pruned ones included, and returns the best.

    Raises:
        Interrupted: a signal arrived; the same command resumes the sweep.
        ColourbenchError: every trial failed, or the store cannot be opened.
    """
    dataset = home.dataset(sweep.base.dataset)
    # the stores are created before any worker starts
    study = open_study(home, sweep, dataset)
    work = Work(home, sweep, study, dataset, open_parent(home, sweep), say, _time_left(hours))
    with locked(work.claim_lock):
        if waiting := claims.revive_the_dead(study):
            say(
                f"{waiting} interrupted trial{'s' if waiting > 1 else ''} will go on from where it stopped"
            )
    try:
        Worker(work).work() if workers == 1 else _work_as_team(work, workers)
        if sweep.by == "metric":
            _repeat_the_best(work)
    except BaseException:
        with suppress(Exception):  # a store that is down must not hide what went wrong
            # else other workers are still running
            if not study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                work.parent.abandon("KILLED")
        raise
    best = _conclude(work)
    if not work.is_complete:
        say(f"{len(work.ended())} of {sweep.trials} trials; run the same command to go on")
    if work.is_complete and sweep.by == "metric":
        _propose(work, best)
    return best


def open_parent(home: Home, sweep: Sweep) -> Run:
    """The sweep's own run in MLflow."""
    tags = {
        "kind": "sweep",
        "variant": sweep.base.variant.name,
        "dataset": sweep.base.dataset,
        "config_sha256": sha256([sweep.name]),
    }
    params = {
        "objectives": ", ".join(sweep.objectives),
        "trials": sweep.trials,
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
    }
    return home.store.open_run(sweep.experiment, f"sweep {sweep.name}", tags, params)


def _work_as_team(work: Work, count: int) -> None:
    """Runs the sweep in several worker processes, and reports their trials."""
    sweep = work.sweep
    home = work.home
    order = home.lock(sweep.name).with_suffix(".sweep.json")
    # the store's address may hold a password
    write_atomically(order, sweep.model_dump_json().encode(), mode=PRIVATE)
    ended = _Ended(work)

    def command(number: int) -> list[str]:
        module = [sys.executable, "-m", "studies.sweeps.launcher"]
        return [*module, str(home.path), str(order), str(number), str(work.until)]

    def environment(number: int) -> dict[str, str]:
        share = one_share(number, count)
        if sweep.base.engine.threads:
            del share["OMP_NUM_THREADS"]
        return share

    with Board(work.study) as board:

        def look() -> bool:
            is_new = ended.tell()
            board.draw()
            return is_new

        Team(count, command, home.logs / sweep.name, environment, work.say).work(look)


class _Ended:
    """Reports the trials that ended since the last report."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._told = {trial.number for trial in work.ended()}

    def tell(self) -> bool:
        """Reports new trials; returns whether there are any."""
        sweep = self._work.sweep
        trials = {trial.number: trial for trial in self._work.ended()}
        new = sorted(set(trials) - self._told)
        for count, number in enumerate(new, len(self._told) + 1):
            trial = trials[number]
            values = trial.values if trial.state == TrialState.COMPLETE else []
            figures = (
                ", ".join(
                    f"{name} {value:.4g}"
                    for name, value in zip(sweep.objectives, values, strict=False)
                )
                or "pruned"
            )
            self._work.say(
                f"{count} of {sweep.trials}: trial {trial.user_attrs['run']:03d} {figures}"
            )
        self._told |= set(new)
        return bool(new)


def _repeat_the_best(work: Work) -> None:
    """Trains the best trials with further seeds, so that the winner is not due to luck; again if the sweep has grown since."""
    sweep = work.sweep
    study = work.study
    if (
        sweep.repeats == 1
        or not work.is_complete
        or study.user_attrs.get("ranked_trials") == len(work.ended())
    ):
        return
    with locked(work.home.lock(f"{sweep.name}.repeats")):
        means = {
            trial.number: _mean_over_seeds(work, trial)
            for trial in ranking(study)[: sweep.finalists]
        }
        known = {number: mean for number, mean in means.items() if mean is not None}
        if not known:
            raise ColourbenchError(
                "every finalist of the sweep failed with another seed; widen the search, or lower --repeats"
            )
        sign = 1 if OBJECTIVES[sweep.objectives[0]] == "minimize" else -1
        study.set_user_attr(
            "means_over_seeds", {str(number): mean for number, mean in known.items()}
        )
        study.set_user_attr("winner", min(known, key=lambda number: sign * known[number]))
        study.set_user_attr("ranked_trials", len(work.ended()))


def _mean_over_seeds(work: Work, trial: FrozenTrial) -> float | None:
    """The first objective of a trial, averaged over its own and further seeds; None if it fails with one of them."""
    sweep = work.sweep
    number = int(trial.user_attrs["run"])
    values = [trial.values[0]]
    for seed in range(sweep.base.seed + 1, sweep.base.seed + sweep.repeats):
        try:
            run = work.train(number, trial_config(sweep, trial.params, number, seed), seed=seed)
        except Busy:
            raise
        except ColourbenchError as error:
            work.say(f"trial {number:03d} fails with seed {seed} and cannot win: {error}")
            return None
        values += objective_values(sweep, run.metrics)
    mean: float = sum(values) / len(values)
    work.say(f"trial {number:03d} over {len(values)} seeds: {sweep.objectives[0]} {mean:.4g}")
    return mean


def _conclude(work: Work) -> FrozenTrial:
    """Records the outcome in MLflow and returns the best trial."""
    sweep = work.sweep
    parent = work.parent
    best = best_trial(work.study)
    states = [trial.state for trial in work.study.get_trials(deepcopy=False)]
    settings = "\n".join(f"* `{path}` = {value}" for path, value in best.params.items())
    figures = ", ".join(
        f"{name} **{value:.4g}**" for name, value in zip(sweep.objectives, best.values, strict=True)
    )
    complete = states.count(TrialState.COMPLETE)
    pruned = states.count(TrialState.PRUNED)
    parent.note(
        f"Sweep of **{sweep.base.variant.name}** on {sweep.base.dataset}: {complete} trials complete, {pruned} pruned.\n\n"
        f"Best: {figures} (trial {best.user_attrs['run']:03d})\n\n{settings}"
    )
    parent.log(
        {f"best/{name}": value for name, value in zip(sweep.objectives, best.values, strict=True)},
        0,
    )
    if work.is_complete:
        parent.finish()
    return best


def _propose(work: Work, best: FrozenTrial) -> None:
    """Adds the winner to MLflow's model registry, where it becomes the champion if a paired test says so."""
    if len(work.sweep.objectives) > 1 or work.sweep.objectives[0] in COSTS:
        return
    with locked(work.home.lock("champion")):
        verdict = champion.propose(
            work.home, work.home.store.run(best.user_attrs["mlflow_run"]), work.dataset
        )
    said = "is the champion" if verdict.crowned else "does not replace the champion"
    work.say(f"models:/{verdict.model}/{verdict.version} {said}: {verdict.reason}")


def _time_left(hours: float | None) -> float:
    """Returns the time at which a budget of hours, counted from now, ends."""
    return time.time() + 3600 * hours if hours is not None else float("inf")


def _run_worker(path: str, order: str, index: str, until: str) -> None:
    """Runs a worker, in a worker's process."""
    interrupt_on_signal()
    home = Home(Path(path))
    sweep = Sweep.model_validate_json(Path(order).read_bytes())
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        work = Work(home, sweep, study, dataset, open_parent(home, sweep), say, float(until))
        Worker(work, launcher_watch()).work()
    except Interrupted as error:
        say(str(error))
        sys.exit(130)
    except ColourbenchError as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    _run_worker(*sys.argv[1:])

"""Launches a sweep: one worker in this process, or several processes on this machine, and reports the outcome.

Any number of launchers may work on one sweep, on any number of hosts: they share nothing but the stores and the home folder.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from common.config import sha256
from common.errors import ColourbenchError, Interrupted
from common.files.atomic import write_atomically
from common.files.locks import locked
from common.loop.signals import interrupt_on_signal
from common.tracking import Run
from studies.home import Home
from studies.sweeps import champion, claims
from studies.sweeps.outcome import best_trial, ranking
from studies.sweeps.settings import COSTS, OBJECTIVES
from studies.sweeps.status import Board
from studies.sweeps.sweep import Sweep, open_study
from studies.sweeps.worker import Say, Work, Worker, objective_values, trial_config

POLL_SECONDS = 0.5
RESTARTS = 10  # of workers that die without a trial ending in between; more means that something is wrong with the machine


def run_sweep(home: Home, sweep: Sweep, say: Say = print, workers: int = 1, hours: float | None = None) -> FrozenTrial:
    """Runs trials until the sweep has `trials` finished ones, pruned ones included, and returns the best.

    Raises:
        Interrupted: a signal arrived; the same command resumes the sweep.
        ColourbenchError: every trial failed, or the store cannot be opened.
    """
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset)  # the stores are created before any worker starts
    work = Work(home, sweep, study, dataset, open_parent(home, sweep), say, _time_left(hours))
    with locked(work.claim_lock):
        if waiting := claims.revive_the_dead(study):
            say(f"{waiting} interrupted trial{'s' if waiting > 1 else ''} will go on from where it stopped")
    try:
        Worker(work).work() if workers == 1 else _Team(work, workers).work()
        if sweep.by == "metric":
            _repeat_the_best(work)
    except BaseException:
        with suppress(Exception):  # a store that is down must not hide what went wrong
            if not study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):  # else other workers are still running
                work.parent.abandon("KILLED")
        raise
    best = _conclude(work)
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
    params = {"objectives": ", ".join(sweep.objectives), "trials": sweep.trials, "sampler": sweep.sampler, "pruner": sweep.pruner}
    return home.store.open_run(sweep.experiment, f"sweep {sweep.name}", tags, params)


class _Team:
    """Starts worker processes, reports their trials, replaces a worker that dies, and stops them."""

    def __init__(self, work: Work, count: int) -> None:
        self._at, self._count = work, count
        self._order = work.home.lock(work.sweep.name).with_suffix(".sweep.json")
        write_atomically(self._order, work.sweep.model_dump_json().encode())
        work.home.logs.mkdir(exist_ok=True)
        self._told = {trial.number for trial in work.ended()}
        self._restarts = 0

    def work(self) -> None:
        """Runs until all workers have ended."""
        logs = self._at.home.logs / self._at.sweep.name
        self._at.say(f"{self._count} workers; their logs are {logs}-worker-*.log")
        self._running = {index: self._start(index) for index in range(self._count)}
        try:
            with Board(self._at.study) as board:
                while self._running:
                    time.sleep(POLL_SECONDS)
                    if self._tell_of_new():
                        self._restarts = 0
                    board.draw()
                    for index, process in list(self._running.items()):
                        if process.poll() is not None:
                            self._replace(index, process.returncode)
        except BaseException:
            _stop(self._running)
            raise
        self._tell_of_new()

    def _start(self, index: int) -> "subprocess.Popen[bytes]":
        """Starts a worker with a log of its own; it outlives this process until the end of its trial."""
        home, sweep = self._at.home, self._at.sweep
        command = [
            sys.executable,
            "-m",
            "studies.sweeps.launcher",
            str(home.path),
            str(self._order),
            str(index),
            str(self._at.until),
        ]
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        shared = {"OMP_NUM_THREADS": threads} if not sweep.base.engine.threads else {}
        with (home.logs / f"{sweep.name}-worker-{index}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **shared, **_device(index)})

    def _replace(self, index: int, status: int) -> None:
        """Removes a worker that ended from the list; starts another one if it died."""
        del self._running[index]
        if status == 0:
            return
        if self._restarts >= RESTARTS or _is_told_to_stop(status):
            raise ColourbenchError(f"worker {index} ended with status {status}; see its log in {self._at.home.logs}")
        self._at.say(f"worker {index} ended with status {status}; another one takes its place")
        self._running[index] = self._start(index)
        self._restarts += 1

    def _tell_of_new(self) -> bool:
        """Reports trials that ended since the last call; returns whether there are any."""
        sweep, trials = self._at.sweep, {trial.number: trial for trial in self._at.ended()}
        new = sorted(set(trials) - self._told)
        for count, number in enumerate(new, len(self._told) + 1):
            trial = trials[number]
            values = trial.values if trial.state == TrialState.COMPLETE else []
            figures = ", ".join(f"{name} {value:.4g}" for name, value in zip(sweep.objectives, values, strict=False)) or "pruned"
            self._at.say(f"{count} of {sweep.trials}: trial {trial.user_attrs['run']:03d} {figures}")
        self._told |= set(new)
        return bool(new)


def _device(index: int) -> dict[str, str]:
    """Returns a worker's environment: workers are assigned the GPUs in turn."""
    import torch

    gpus = torch.cuda.device_count()
    return {"CUDA_VISIBLE_DEVICES": str(index % gpus)} if gpus > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ else {}


def _is_told_to_stop(status: int) -> bool:
    return status in (130, -signal.SIGINT, -signal.SIGTERM)


def _stop(running: "dict[int, subprocess.Popen[bytes]]") -> None:
    """Stops workers: one signal lets them save their checkpoints, and they are killed only if they do not end."""
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for process in running.values():
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def _repeat_the_best(work: Work) -> None:
    """Trains the best trials with further seeds, so that the winner is not due to luck."""
    sweep, study = work.sweep, work.study
    if sweep.repeats == 1 or not work.is_complete or "winner" in study.user_attrs:
        return
    with locked(work.home.lock(f"{sweep.name}.repeats")):
        means: dict[int, float] = {}
        for trial in ranking(study)[: sweep.finalists]:
            number, values = int(trial.user_attrs["run"]), [trial.values[0]]
            for seed in range(sweep.base.seed + 1, sweep.base.seed + sweep.repeats):
                values += objective_values(
                    sweep, work.train(number, trial_config(sweep, trial.params, number, seed), seed=seed).metrics
                )
            means[trial.number] = sum(values) / len(values)
            work.say(f"trial {number:03d} over {len(values)} seeds: {sweep.objectives[0]} {means[trial.number]:.4g}")
        sign = 1 if OBJECTIVES[sweep.objectives[0]] == "minimize" else -1
        study.set_user_attr("means_over_seeds", {str(number): mean for number, mean in means.items()})
        study.set_user_attr("winner", min(means, key=lambda number: sign * means[number]))


def _conclude(work: Work) -> FrozenTrial:
    """Records the outcome in MLflow and returns the best trial."""
    sweep, parent, best = work.sweep, work.parent, best_trial(work.study)
    states = [trial.state for trial in work.study.get_trials(deepcopy=False)]
    settings = "\n".join(f"* `{path}` = {value}" for path, value in best.params.items())
    figures = ", ".join(f"{name} **{value:.4g}**" for name, value in zip(sweep.objectives, best.values, strict=True))
    complete, pruned = states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)
    parent.note(
        f"Sweep of **{sweep.base.variant.name}** on {sweep.base.dataset}: {complete} trials complete, {pruned} pruned.\n\n"
        f"Best: {figures} (trial {best.user_attrs['run']:03d})\n\n{settings}"
    )
    parent.log({f"best/{name}": value for name, value in zip(sweep.objectives, best.values, strict=True)}, 0)
    if work.is_complete:
        parent.finish()
    return best


def _propose(work: Work, best: FrozenTrial) -> None:
    """Adds the winner to MLflow's model registry, where it becomes the champion if a paired test says so."""
    if len(work.sweep.objectives) > 1 or work.sweep.objectives[0] in COSTS:
        return
    with locked(work.home.lock("champion")):
        verdict = champion.propose(work.home, work.home.store.run(best.user_attrs["mlflow_run"]), work.dataset)
    said = "is the champion" if verdict.crowned else "does not replace the champion"
    work.say(f"models:/{verdict.model}/{verdict.version} {said}: {verdict.reason}")


def _time_left(hours: float | None) -> float:
    """Returns the time at which a budget of hours, counted from now, ends."""
    return time.time() + 3600 * hours if hours is not None else float("inf")


def _work_as_told(path: str, order: str, index: str, until: str) -> None:
    """Runs a worker, in a worker's process."""
    interrupt_on_signal()
    home, sweep = Home(Path(path)), Sweep.model_validate_json(Path(order).read_bytes())
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset, worker=int(index) + 1)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        Worker(Work(home, sweep, study, dataset, open_parent(home, sweep), say, float(until))).work()
    except Interrupted as error:
        say(str(error))
        sys.exit(130)
    except ColourbenchError as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    _work_as_told(*sys.argv[1:])

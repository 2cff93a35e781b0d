"""Launches a sweep: one worker in this process, or several processes on this machine, and says what came of it.

Any number of launchers may work on one sweep, on any number of hosts: they share nothing but the stores and the home folder.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from common.config import sha256
from common.errors import ColourbenchError, Interrupted, end_politely_when_told
from common.files import locked, write_atomically
from common.shards import Dataset
from common.tracking import Run
from studies.home import Home
from studies.run import Place, train_run
from studies.sweeps import champion, claims
from studies.sweeps.status import Board
from studies.sweeps.sweep import COSTS, OBJECTIVES, Sweep, best_trial, open_study, ranking
from studies.sweeps.worker import Say, Worker, lock, objective_values, run_name, time_left, trial_config

POLL_SECONDS = 0.5
RESTARTS = 10  # of workers that die before any further trial ends; more means that something is wrong with the machine


def run_sweep(home: Home, sweep: Sweep, say: Say = print, workers: int = 1, hours: float | None = None) -> FrozenTrial:
    """Runs trials until the sweep has `trials` finished ones, pruned ones included, and returns the best.

    Raises:
        Interrupted: a signal came; the same command goes on.
        ColourbenchError: every trial failed, or the store cannot be opened.
    """
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset)  # the stores are made before any worker starts
    parent = open_parent(home, sweep)
    with locked(lock(home, sweep)):
        if waiting := claims.revive_the_dead(study):
            say(f"{waiting} interrupted trial{'s' if waiting > 1 else ''} will go on from where it stopped")
    until = time_left(hours)
    try:
        if workers == 1:
            Worker(home, sweep, study, dataset, parent, say, until).work()
        else:
            _run_workers(home, sweep, study, workers, until, say)
        _repeat_the_best(home, sweep, study, dataset, parent, say)
    except BaseException:
        with suppress(Exception):  # a store that is down must not hide what went wrong
            if not study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):  # else others are still at work
                parent.abandon("KILLED")
        raise
    best = _conclude(study, parent, sweep)
    if len(study.get_trials(deepcopy=False, states=claims.FINAL)) >= sweep.trials:
        _propose(home, sweep, best, dataset, say)
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


def _run_workers(home: Home, sweep: Sweep, study: optuna.Study, count: int, until: float, say: Say) -> None:
    """Starts workers, tells of each trial that ends, and starts a worker anew where one died."""
    order = home.path / "locks" / f"{sweep.name}.sweep.json"
    write_atomically(order, sweep.model_dump_json().encode())
    logs = home.path / "logs"
    logs.mkdir(exist_ok=True)
    say(f"{count} workers; their logs are {logs / sweep.name}-worker-*.log")
    start = _starter(home, sweep, order, logs, count, until)
    running = {index: start(index) for index in range(count)}
    told, restarts = _finished(study), 0
    try:
        with Board(study) as board:
            while running:
                time.sleep(POLL_SECONDS)
                before, told = told, _tell_of_new(study, told, sweep, say)
                board.draw()
                restarts = restarts if told == before else 0
                for index, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[index]
                    if process.returncode != 0 and restarts < RESTARTS and not _is_told_to_stop(process):
                        say(f"worker {index} ended with status {process.returncode}; another one takes its place")
                        running[index], restarts = start(index), restarts + 1
                    elif process.returncode != 0:
                        raise ColourbenchError(f"worker {index} ended with status {process.returncode}; see its log in {logs}")
    except BaseException:
        _stop(running)
        raise
    _tell_of_new(study, told, sweep, say)


def _starter(
    home: Home, sweep: Sweep, order: Path, logs: Path, count: int, until: float
) -> Callable[[int], "subprocess.Popen[bytes]"]:
    threads = str(max(1, (os.cpu_count() or 1) // count))
    shared = {"OMP_NUM_THREADS": threads} if not sweep.base.engine.threads else {}

    def start(index: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "studies.sweeps.launcher", str(home.path), str(order), str(index), str(until)]
        environment = {**os.environ, **shared, **_device(index)}
        with (logs / f"{sweep.name}-worker-{index}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    return start


def _device(index: int) -> dict[str, str]:
    """Workers take the GPUs in turn."""
    import torch

    found = torch.cuda.device_count()
    return {"CUDA_VISIBLE_DEVICES": str(index % found)} if found > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ else {}


def _is_told_to_stop(process: "subprocess.Popen[bytes]") -> bool:
    return process.returncode in (130, -signal.SIGINT, -signal.SIGTERM)


def _stop(running: "dict[int, subprocess.Popen[bytes]]") -> None:
    """Lets workers save their checkpoints; they are asked once, and killed only when they do not end."""
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for process in running.values():
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def _finished(study: optuna.Study) -> set[int]:
    return {trial.number for trial in study.get_trials(deepcopy=False, states=claims.FINAL)}


def _tell_of_new(study: optuna.Study, told: set[int], sweep: Sweep, say: Say) -> set[int]:
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False, states=claims.FINAL)}
    for count, number in enumerate(sorted(set(trials) - told), len(told) + 1):
        trial = trials[number]
        values = trial.values if trial.state == TrialState.COMPLETE else []
        figures = ", ".join(f"{name} {value:.4g}" for name, value in zip(sweep.objectives, values, strict=False)) or "pruned"
        say(f"{count} of {sweep.trials}: trial {trial.user_attrs['run']:03d} {figures}")
    return set(trials)


def _repeat_the_best(home: Home, sweep: Sweep, study: optuna.Study, dataset: Dataset, parent: Run, say: Say) -> None:
    """The best trials are trained with further seeds, so that the winner is not luck."""
    enough = len(study.get_trials(deepcopy=False, states=claims.FINAL)) >= sweep.trials
    if sweep.repeats == 1 or not enough or "winner" in study.user_attrs:
        return
    with locked(home.path / "locks" / f"{sweep.name}.repeats.lock"):
        means: dict[int, float] = {}
        for trial in ranking(study)[: sweep.finalists]:
            values = [trial.values[0]]
            for seed in range(sweep.base.seed + 1, sweep.base.seed + sweep.repeats):
                number = int(trial.user_attrs["run"])
                config = trial_config(sweep, trial.params, number, seed)
                tags = {"kind": "repeat", "sweep": sweep.name, "trial": str(number)}
                place = Place(sweep.experiment, f"{run_name(sweep, number)} seed {seed}", tags, parent)
                run = train_run(home.store, dataset, config, place, test=False, needs_files=False)
                values += objective_values(sweep, home.store.run(run.id).metrics)
            means[trial.number] = sum(values) / len(values)
            say(f"trial {trial.user_attrs['run']:03d} over {len(values)} seeds: {sweep.objectives[0]} {means[trial.number]:.4g}")
        sign = 1 if OBJECTIVES[sweep.objectives[0]] == "minimize" else -1
        study.set_user_attr("means_over_seeds", {str(number): mean for number, mean in means.items()})
        study.set_user_attr("winner", min(means, key=lambda number: sign * means[number]))


def _conclude(study: optuna.Study, parent: Run, sweep: Sweep) -> FrozenTrial:
    best = best_trial(study)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    settings = "\n".join(f"* `{path}` = {value}" for path, value in best.params.items())
    figures = ", ".join(f"{name} **{value:.4g}**" for name, value in zip(sweep.objectives, best.values, strict=True))
    complete, pruned = states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)
    parent.note(
        f"Sweep of **{sweep.base.variant.name}** on {sweep.base.dataset}: {complete} trials complete, {pruned} pruned.\n\n"
        f"Best: {figures} (trial {best.user_attrs['run']:03d})\n\n{settings}"
    )
    parent.log({f"best/{name}": value for name, value in zip(sweep.objectives, best.values, strict=True)}, 0)
    if complete + pruned >= sweep.trials:
        parent.finish()
    return best


def _propose(home: Home, sweep: Sweep, best: FrozenTrial, dataset: Dataset, say: Say) -> None:
    """The winner joins MLflow's model registry, and is its champion where a paired test says so."""
    if len(sweep.objectives) > 1 or sweep.objectives[0] in COSTS:
        return
    with locked(home.path / "locks" / "champion.lock"):
        verdict = champion.propose(home, home.store.run(best.user_attrs["mlflow_run"]), dataset)
    said = "is the champion" if verdict.crowned else "does not replace the champion"
    say(f"models:/{verdict.model}/{verdict.version} {said}: {verdict.reason}")


def _work_as_told() -> None:
    """In a worker's process."""
    end_politely_when_told()
    home, order, index, until = Home(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    sweep = Sweep.model_validate_json(order.read_bytes())
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset, worker=index + 1)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        Worker(home, sweep, study, dataset, open_parent(home, sweep), say, until).work()
    except Interrupted as error:
        say(str(error))
        sys.exit(130)
    except ColourbenchError as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    _work_as_told()

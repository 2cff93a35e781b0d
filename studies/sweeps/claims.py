"""Which worker runs which trial: claims that survive the death of any process, on one machine or on many.

A running trial records its owner: host, process id and the process's start time. On its own host a dead owner is detected at
once; on other hosts by a heartbeat that stopped. Claims are made under a lock, so that no two processes run one trial, none
starts more than the sweep needs, and the trial of a dead process is queued again exactly once.
"""

import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from common.system.locks import locked

FINAL = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT_SECONDS = 30
GRACE_SECONDS = 300  # a slow step must not look like a dead process
POLL_SECONDS = 1.0
# processes that a trial may end, by memory or by a crash, before it is given up
MOST_KILLS = 3
SAME_START = 2.0  # seconds by which a clock adjustment may move a process's start time


# the number of trials so far -> a sampler
SamplerOf = Callable[[int], optuna.samplers.BaseSampler]


def claim(
    study: optuna.Study,
    lock: Path,
    trials: int,
    until: float = float("inf"),
    sampler: SamplerOf | None = None,
) -> optuna.Trial | None:
    """Claims the next trial for this process; returns None when the sweep has all its trials, or the time is up.

    While other processes run the last trials it waits: one of them may die.

    Args:
        sampler: seeded by the number of trials. No two processes claim at the same number, so none proposes what another did.
    """
    while time.time() < until:
        with locked(lock):
            revive_the_dead(study)
            states = [trial.state for trial in study.get_trials(deepcopy=False)]
            finished = sum(state in FINAL for state in states)
            busy = states.count(TrialState.RUNNING)
            if finished >= trials:
                return None
            if finished + busy < trials:
                study.sampler = sampler(len(states)) if sampler else study.sampler
                return _ask(study)
        time.sleep(POLL_SECONDS)
    return None


def revive_the_dead(study: optuna.Study) -> int:
    """Marks trials whose process has died as failed and queues their settings again; returns how many."""
    dead = [
        trial
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        if _is_dead(trial)
    ]
    for trial in dead:
        after_a_kill(study, trial)
        study.tell(trial.number, state=TrialState.FAIL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)  # on other hosts, whose heartbeat stopped
    return len(dead)


def queue_again(study: optuna.Study, trial: FrozenTrial, kills: int | None = None) -> None:
    """Queues a trial's settings again, including fixed ones that it had not yet asked for; never queues a trial twice."""
    run = trial.user_attrs.get("run", trial.number)
    waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
    if run in {queued.user_attrs.get("run") for queued in waiting}:
        return
    attributes = {"run": run, "kills": trial.user_attrs.get("kills", 0) if kills is None else kills}
    study.enqueue_trial(
        {**trial.system_attrs.get("fixed_params", {}), **trial.params}, user_attrs=attributes
    )


def after_a_kill(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues a trial whose process died again, unless it has ended several: then it is given up, and another takes its place."""
    kills = trial.user_attrs.get("kills", 0) + 1
    if kills < MOST_KILLS:
        queue_again(study, trial, kills)
    else:
        warnings.warn(
            f"trial {trial.user_attrs.get('run', trial.number):03d} ended {kills} processes and is given up",
            stacklevel=2,
        )


@contextmanager
def alive(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Records a trial's heartbeat while it runs."""
    stop = threading.Event()
    storage: Any = study._storage

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            # a store that is down for a moment must not end the heartbeat
            with suppress(Exception):
                storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _ask(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    storage: Any = study._storage
    # at once: a process killed before its first beat would be waited for for ever
    if hasattr(storage, "record_heartbeat"):
        storage.record_heartbeat(trial._trial_id)
    trial.set_user_attr("owner", _me())
    trial.set_user_attr("run", int(trial.user_attrs.get("run", trial.number)))
    return trial


def _me() -> list[Any]:
    return [socket.gethostname(), os.getpid(), _start(psutil.Process())]


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether the trial's process is known to be dead. A trial without an owner died during a claim: we hold the claim lock."""
    owner = trial.user_attrs.get("owner")
    if owner is None:
        return True
    host, number, started = owner
    return bool(host == socket.gethostname() and not _is_running(number, started))


def _is_running(number: int, started: float) -> bool:
    """Whether the process with this id is the one that started then, and not a later one with the same id."""
    try:
        process = psutil.Process(number)
        is_same = isinstance(started, float) and abs(_start(process) - started) < SAME_START
        return is_same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _start(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's: a clock that is set does not move it."""
    booted = psutil.boot_time()
    return float(process.create_time() - booted)

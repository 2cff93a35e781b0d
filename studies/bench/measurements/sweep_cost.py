"""Trials per second of a sweep with more and more workers on one machine, on each kind of store."""

import io
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import optuna
from optuna.trial import TrialState

from common.config import parse
from studies.bench.measurements.photographs import prepared, write_photographs
from studies.bench.result import Result, Side, own_store
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps import sweep
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep

SIZE = 32
SMALL = {"network": {"base_width": 4}}


def trials_per_second(workers: tuple[int, ...], trials: int, storage: str = "") -> Result:
    """Measures tiny trials, so that stores and claims dominate; from the first trial's start to the last one's end."""
    sides = [_side(count, trials, storage) for count in workers]
    kind = storage.partition(":")[0].partition("+")[0] or "sqlite"
    name = f"{trials} tiny trials, {kind}, {' / '.join(map(str, workers))} workers"
    return Result(
        name,
        sides,
        sides[-1].per_second / sides[0].per_second,
        ratio_of=f"times the trials of {workers[0]} worker",
    )


def _side(workers: int, trials: int, storage: str) -> Side:
    with tempfile.TemporaryDirectory() as folder, own_store():
        home = Home(Path(folder))
        prepared(write_photographs(Path(folder) / "photographs", SIZE), home.data / "bench", SIZE)
        name = f"bench-{Path(folder).name}"
        order = Sweep(
            name=name, base=_base(), trials=trials, sampler="random", pruner="none", storage=storage
        )
        try:
            with redirect_stderr(io.StringIO()):  # hides the progress bars of tiny trials
                run_sweep(home, order, lambda text: None, workers)
            ended = sweep.load(home, name, storage).get_trials(states=(TrialState.COMPLETE,))
        finally:
            optuna.delete_study(study_name=name, storage=storage or home.optuna_url)
    started = min(trial.datetime_start for trial in ended if trial.datetime_start)
    last = max(trial.datetime_complete for trial in ended if trial.datetime_complete)
    seconds = (last - started).total_seconds()
    return Side(
        f"{workers} worker{'s' if workers > 1 else ''}", seconds / len(ended), len(ended) / seconds
    )


def _base() -> RunConfig:
    fields = {
        "variant": {"name": "cgan", "generator": SMALL, "critic": SMALL},
        "dataset": "bench",
        "budget": {"amount": 200, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "threads": 1},
        "watch": {"validations": 2, "preview_images": 0},
    }
    return parse(RunConfig, fields)

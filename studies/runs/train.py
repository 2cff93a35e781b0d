"""Trains one run: opens or resumes it, trains and finishes it, and marks it with its outcome."""

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.config import as_json, flatten
from common.data.shards import Dataset
from common.errors import Busy, ColourbenchError, Interrupted
from common.loop import checkpoint
from common.loop.engine import Engine
from common.system import integrity
from common.system.atomic import write_atomically
from common.system.costs import is_out_of_memory
from common.system.locks import locked
from common.system.names import CONFIG, GENERATOR
from common.tracking import Run, Store
from common.tracking.names import ATTEMPT, FAILURE
from studies.runs.configuration import RunConfig
from studies.runs.finish import finish
from studies.runs.machine import engine_of, machine_tags
from studies.runs.model import RETRAIN
from studies.runs.session import Session
from studies.runs.training import Pruned, Report, train

MOST_CHARACTERS = 2000  # of an error that is kept with its run


@dataclass(frozen=True)
class Place:
    """Where a run belongs: its study, its name there, its tags and its parent run."""

    study: str
    name: str
    tags: dict[str, str]
    parent: Run | None = None

    def __str__(self) -> str:
        return f"{self.study}/{self.name}"


@dataclass(frozen=True)
class RunOptions:
    """How a run is trained: the options that are not among its settings."""

    report: Report | None = None
    """Called with each validation's metrics; it may raise `Pruned`."""
    test: bool = True
    """Whether the test split is scored. Sweeps never do so."""
    retrain: bool = False
    """Whether a finished run whose files are missing or damaged is trained again."""
    needs_files: bool = True
    """Whether a finished run must still have its files; a sweep's repeats need only their metrics."""
    attempt: str = ""
    """Names one call of a command that several processes share: a run that failed in it is not trained again in it."""


def train_run(
    store: Store,
    dataset: Dataset,
    config: RunConfig,
    place: Place,
    options: RunOptions | None = None,
) -> Run:
    """Trains one run to the end of its budget and evaluates it on the test split; a finished run is only returned, not trained.

    Raises:
        Interrupted: a signal arrived; the checkpoint is saved.
        Pruned: `options.report` ended it.
        Damaged: the run is finished, but its files are missing or have changed.
        ColourbenchError: the run diverged, the disk is full, another process trains it …; the run is marked FAILED.
    """
    options = options or RunOptions()
    identity = config.identity(dataset.fingerprint)
    earlier = store.find_one(place.study, place.name, identity)
    if earlier and _is_done(earlier, options):
        return earlier
    _refuse_second_try(earlier, options)
    engine = engine_of(config.engine, earlier)
    tags = _tags(config, dataset, place, engine) | {"config_sha256": identity}
    run = _open(store, place, tags, config, engine)
    if engine.rank:
        return _train_and_finish(run, dataset, config, engine, options)
    with locked(run.folder / ".lock", f"the run {place} is being trained by another process"):
        run = store.fresh(run)  # another process may have finished it while this one waited
        if _is_done(run, options):
            return run
        _refuse_second_try(run, options)
        if store.is_replaced(run):
            raise Busy(f"the run {place} is being trained from the start by another process")
        if run.has_figures and not checkpoint.exists(run.folder):
            # the figures are of a training that is gone
            store.retire(run)
            run = _open(store, place, tags, config, engine)
        else:
            store.go_on(run)
        _describe(run, dataset, config)
        return _train_and_finish(run, dataset, config, engine, options)


def _is_done(run: Run, options: RunOptions) -> bool:
    """Whether nothing is left to do: the run is finished and, where its files are needed, they are intact.

    Raises:
        Damaged: they are not intact, and the run is not to be trained again.
    """
    if run.status != "FINISHED" or not options.needs_files:
        return run.status == "FINISHED"
    try:
        integrity.check_sealed(run.folder, [CONFIG, GENERATOR], RETRAIN)
    except integrity.Damaged:
        if not options.retrain:
            raise
        return False
    return True


def _tags(config: RunConfig, dataset: Dataset, place: Place, engine: Engine) -> dict[str, str]:
    return {
        "variant": config.variant.name,
        "seed": str(config.seed),
        "dataset": config.dataset,
        "dataset_sha256": dataset.fingerprint,
        **machine_tags(engine),
        "code_version": code_version(),
        **place.tags,
    }


def _open(
    store: Store, place: Place, tags: dict[str, str], config: RunConfig, engine: Engine
) -> Run:
    """Opens the run on the first rank; the other ranks get a read-only view of it."""
    if engine.rank:
        return store.listen(engine.broadcast(""))
    run = store.open_run(
        place.study, place.name, tags, flatten(as_json(config)), place.parent, mark=False
    )
    engine.broadcast(run.id)
    return run


def _describe(run: Run, dataset: Dataset, config: RunConfig) -> None:
    """Logs the data set to MLflow, and saves the settings with the run."""
    about = json.dumps(
        {
            "images": len(dataset.entries),
            "pixels": dataset.config.size,
            "labels": len(dataset.labels),
        }
    )
    run.log_dataset(dataset.name, dataset.fingerprint, str(dataset.folder), about)
    write_atomically(run.folder / CONFIG, json.dumps(as_json(config), indent=2).encode())


def _train_and_finish(
    run: Run, dataset: Dataset, config: RunConfig, engine: Engine, options: RunOptions
) -> Run:
    """Trains and finishes the run, and marks it with its outcome."""
    try:
        session = Session(config, run, dataset, engine)
        with run.watch_machine():
            train(session, options.report)
        finish(session, options.test)
    except Pruned:
        # its last validation places it among the others
        with suppress(
            Exception
        ):  # a store that is down must not turn a pruned trial into a failed one
            run.flush()
            run.tag(outcome="pruned")
        run.abandon("KILLED")
        raise
    except Interrupted:
        run.abandon("KILLED")
        raise
    except BaseException as error:  # whatever ended it, no run may stay RUNNING
        if is_out_of_memory(error):
            size = config.batches.size
            pixels = dataset.config.size
            error = ColourbenchError(
                f"out of memory with batches.size={size} at {pixels} px; lower batches.size"
            )
        with suppress(Exception):  # a store that is down must not hide what went wrong
            run.tag(**{ATTEMPT: options.attempt, FAILURE: str(error)[:MOST_CHARACTERS]})
        run.abandon("FAILED")
        raise error from None
    return run


def _refuse_second_try(run: Run | None, options: RunOptions) -> None:
    """Repeats the error of a run that failed in the same attempt.

    Raises:
        ColourbenchError: it did.
    """
    if (
        run
        and run.status == "FAILED"
        and options.attempt
        and run.tags.get(ATTEMPT) == options.attempt
    ):
        raise ColourbenchError(run.tags.get(FAILURE, "failed in another process"))


def code_version() -> str:
    """Returns the commit of this checkout, with `+` if files are changed; empty outside git."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()

"""The life of one run: opened or taken up again, trained, finished, and marked with what became of it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from common.config import as_json, flatten
from common.data.shards import Dataset
from common.errors import ColourbenchError, Interrupted
from common.files import integrity
from common.files.atomic import write_atomically
from common.files.locks import locked
from common.files.names import CONFIG, GENERATOR
from common.loop.costs import is_out_of_memory
from common.loop.engine import Engine
from common.tracking import Run, Store
from studies.runs import resume
from studies.runs.configuration import RunConfig
from studies.runs.finish import finish
from studies.runs.session import Pruned, Report, Session, compose, train
from studies.runs.trained import RETRAIN


@dataclass(frozen=True)
class Place:
    """Where a run belongs: its study, its name there, its tags and its parent run."""

    study: str
    name: str
    tags: dict[str, str]
    parent: Run | None = None


@dataclass(frozen=True)
class RunOptions:
    """How a run is trained, beside its settings."""

    report: Report | None = None
    """Told each validation's metrics; it may raise `Pruned`."""
    test: bool = True
    """Whether the test split is looked at. Sweeps never do."""
    retrain: bool = False
    """Whether a finished run whose files are gone or damaged is trained again."""
    needs_files: bool = True
    """Whether a finished run must still have its files; a sweep's trials are known by their figures."""


def train_run(store: Store, dataset: Dataset, config: RunConfig, place: Place, options: RunOptions | None = None) -> Run:
    """Trains one run to the end of its budget and evaluates it on the test split; a finished run is only returned.

    Raises:
        Interrupted: a signal came; the checkpoint is saved.
        Pruned: `options.report` ended it.
        Damaged: the run is finished and its files are not what it left.
        ColourbenchError: the run diverged, the disk is full, another process trains it …; the run is marked FAILED.
    """
    options = options or RunOptions()
    identity = config.identity(dataset.fingerprint)
    begun = store.find_one(place.study, place.name, identity)
    if begun and _is_done(begun, options):
        return begun
    engine = resume.engine_of(config.engine, begun)
    run = _open(store, place, _tags(config, dataset, place, engine), config, engine)
    if engine.rank:
        return _train_and_finish(run, dataset, config, engine, options)
    with locked(run.folder / ".lock", f"the run {place.study}/{place.name} is being trained by another process"):
        run = store.fresh(run)  # another process may have finished it while this one waited
        if _is_done(run, options):
            return run
        if begun or run.metrics:
            store.go_on(run)
        _describe(run, dataset, config)
        return _train_and_finish(run, dataset, config, engine, options)


def _is_done(run: Run, options: RunOptions) -> bool:
    """Whether nothing is left to do: the run is finished, and has what it left where that is needed.

    Raises:
        Damaged: it has not, and is not to be trained again.
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
        **resume.machine_tags(engine),
        "code_version": code_version(),
        **place.tags,
        "config_sha256": config.identity(dataset.fingerprint),
    }


def _open(store: Store, place: Place, tags: dict[str, str], config: RunConfig, engine: Engine) -> Run:
    """The run, by the first rank; the others listen to it."""
    if engine.rank:
        return store.listen(engine.broadcast(""))
    run = store.open_run(place.study, place.name, tags, flatten(as_json(config)), place.parent, mark=False)
    engine.broadcast(run.id)
    return run


def _describe(run: Run, dataset: Dataset, config: RunConfig) -> None:
    """Names the data set in MLflow, and keeps the settings with the run."""
    about = json.dumps({"images": len(dataset.entries), "pixels": dataset.config.size, "labels": len(dataset.labels)})
    run.log_dataset(dataset.name, dataset.fingerprint, str(dataset.folder), about)
    write_atomically(run.folder / CONFIG, json.dumps(as_json(config), indent=2).encode())


def _train_and_finish(run: Run, dataset: Dataset, config: RunConfig, engine: Engine, options: RunOptions) -> Run:
    """Trains, and leaves the run marked as what became of it."""
    try:
        session = Session(config, run, dataset, *compose(config, dataset, engine))
        with run.watch_machine():
            train(session, options.report)
        finish(session, options.test)
    except Pruned:
        run.tag(pruned="yes")
        run.abandon("KILLED")
        raise
    except Interrupted:
        run.abandon("KILLED")
        raise
    except BaseException as error:
        run.abandon("FAILED")
        if is_out_of_memory(error):
            size, pixels = config.batches.size, dataset.config.size
            raise ColourbenchError(f"out of memory with batches.size={size} at {pixels} px; lower batches.size") from None
        raise
    return run


def code_version() -> str:
    """The commit of this checkout, with `+` where files are changed; empty outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()

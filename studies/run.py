"""Trains one run: resumes it where it stopped, and evaluates it when it is done."""

import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from analysis import evaluation
from common import callbacks, kept
from common.config import as_json, flatten
from common.engine import Engine, random_state, restore_random_state
from common.errors import ColourbenchError, Interrupted
from common.files import locked, write_atomically
from common.progress_bar import ProgressBar
from common.shards import Dataset
from common.tracking import Run, Store
from common.training import Callback, Progress, train
from studies import machine, pretraining, resume
from studies.finish import finish
from studies.run_config import RunConfig
from studies.session import Session, compose
from studies.trained import CONFIG, GENERATOR, RETRAIN

TAKEN_OVER = "pretraining"  # tag of a run that did not pretrain by itself

Report = Callable[[int, dict[str, float]], None]  # number of the validation, its metrics; may raise to stop the run


@dataclass(frozen=True)
class Place:
    """Where a run belongs: its study, its name there, its tags and its parent run."""

    study: str
    name: str
    tags: dict[str, str]
    parent: Run | None = None


def train_run(
    store: Store,
    dataset: Dataset,
    config: RunConfig,
    place: Place,
    report: Report | None = None,
    test: bool = True,
    retrain: bool = False,
    needs_files: bool = True,
) -> Run:
    """Trains one run to the end of its budget and evaluates it on the test split; a finished run is only returned.

    Args:
        report: told each validation's metrics; it may raise, and the run is then marked as KILLED.
        test: whether the test split is looked at. Sweeps never do.
        retrain: whether a finished run whose files are gone or damaged is trained again.
        needs_files: whether a finished run must still have its files; a sweep's trials are known by their figures.

    Raises:
        Interrupted: a signal came; the checkpoint is saved.
        Damaged: the run is finished and its files are not what it left.
        ColourbenchError: the run diverged, the disk is full, another process trains it …; the run is marked FAILED.
    """
    identity = config.identity(dataset.fingerprint)
    begun = store.find_one(place.study, place.name, identity)
    if begun and begun.status == "FINISHED" and (not needs_files or _is_whole(begun, retrain)):
        return begun
    engine = machine.engine_of(config.engine, begun)
    tags = {
        "variant": config.variant.name,
        "seed": str(config.seed),
        "dataset": config.dataset,
        "dataset_sha256": dataset.fingerprint,
        **machine.machine_tags(engine),
        "code_version": code_version(),
        **place.tags,
        "config_sha256": identity,
    }
    run = _open(store, place, tags, config, engine)
    busy = f"the run {place.study}/{place.name} is being trained by another process"
    with locked(run.folder / ".lock", busy) if engine.rank == 0 else nullcontext():
        if engine.rank == 0:
            run = store.fresh(run)  # somebody may have finished it while this process waited
            if run.status == "FINISHED" and (not needs_files or _is_whole(run, retrain)):
                return run
            if begun or run.metrics:
                store.go_on(run)
            about = json.dumps({"images": len(dataset.entries), "pixels": dataset.config.size, "labels": len(dataset.labels)})
            run.log_dataset(dataset.name, dataset.fingerprint, str(dataset.folder), about)
            write_atomically(run.folder / CONFIG, json.dumps(as_json(config), indent=2).encode())
        try:
            session = Session(config, run, dataset, *compose(config, dataset, engine))
        except ColourbenchError:
            run.abandon("FAILED")
            raise
        _train_and_mark(session, report, test)
    return run


def _is_whole(run: Run, retrain: bool) -> bool:
    """Whether a finished run has what it left; without the wish to train it again it is told where it has not."""
    try:
        kept.check_sealed(run.folder, [CONFIG, GENERATOR], RETRAIN)
    except kept.Damaged:
        if not retrain:
            raise
        return False
    return True


def _open(store: Store, place: Place, tags: dict[str, str], config: RunConfig, engine: Engine) -> Run:
    """The run, by the first rank; the others listen to it."""
    if engine.rank:
        return store.listen(engine.broadcast(""))
    run = store.open_run(place.study, place.name, tags, flatten(as_json(config)), place.parent, mark=False)
    engine.broadcast(run.id)
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


def _train_and_mark(session: Session, report: Report | None, test: bool) -> None:
    """Trains, and leaves the run marked as what became of it."""
    run = session.run
    try:
        with run.watch_machine():
            _train(session, report)
        finish(session, test)
    except Interrupted:
        run.abandon("KILLED")
        raise
    except ColourbenchError:
        run.abandon("FAILED")
        raise
    except (MemoryError, RuntimeError) as error:
        run.abandon("FAILED")
        if is_out_of_memory(error):
            size, pixels = session.config.batches.size, session.dataset.config.size
            raise ColourbenchError(f"out of memory with batches.size={size} at {pixels} px; lower batches.size") from None
        raise
    except BaseException:  # a pruned trial, or a bug: the run must not stay RUNNING for ever
        run.abandon("KILLED")
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """On a GPU torch has a type for it, on a CPU only a text."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def _train(session: Session, report: Report | None) -> None:
    config, run, progress = session.config, session.run, session.progress
    watch = config.watch
    losses = callbacks.LogLosses(run, watch.log_steps, lambda: saver.last_good())
    writes = session.engine.rank == 0
    saver = callbacks.Checkpointer(
        run.folder, watch.checkpoint_seconds, lambda: resume.state_of(session, losses), run.flush, writes
    )
    saver.path = resume.take_up(session, losses)
    phases, shared = session.variant.phases(config.budget), _shared_pretraining(session)
    interval, unit = config.budget.amount / watch.validations, config.budget.unit
    with ProgressBar(run.name, config.budget, progress) as bar, callbacks.StopOnSignal(saver.save, session.engine.any) as stop:

        def look(now: Progress) -> None:
            losses.settle(now)
            metrics = _validate(session, now)
            bar.show(now, metrics)
            run.log(session.variant.observe(now.images, metrics), now.images)
            if report:
                report(round(now.count(unit) / interval), metrics)

        def look_first(now: Progress) -> None:
            session.variant.observe(now.images, _validate(session, now), opening=True)

        for line in _beginning(session):
            bar.say(line)
        watchers: list[Callback] = [_advance(session), losses, callbacks.every(interval, unit, progress, look), saver, stop, bar]
        if shared and progress.phase == 0:
            train(phases[:1], session.batches, unit, progress, session.engine, watchers)
            losses.settle(progress)
            if writes:
                pretraining.save(shared, _pretrained_state(session))
        train(phases, session.batches, unit, progress, session.engine, watchers, look_first)
    losses.settle(progress)


def _beginning(session: Session) -> list[str]:
    """Where it computes, where it goes on, and what is not as it was before."""
    tags, images = session.run.tags, session.progress.images
    where = f"on {session.engine.device} in {session.engine.precision}"
    if TAKEN_OVER in tags and session.progress.phase == 1:
        where += f", generator pretraining {tags[TAKEN_OVER]}"
    elif images:
        where += f", going on from image {images:,}"
    changes = machine.what_changed(session.engine, tags)
    return [where, *([changes] if changes else [])]


def _advance(session: Session) -> Callback:
    """Learning rates and averaged weights follow the share of the budget that is used."""
    budget = session.config.budget
    return lambda progress, losses: session.variant.advance(progress.count(budget.unit) / budget.amount)


def _shared_pretraining(session: Session) -> Path | None:
    """Where this run's pretraining is shared; a run at its very start takes over what another one left there."""
    shared = pretraining.file_for(session.run.store.home, session.config, session.dataset.fingerprint)
    is_there = session.engine.broadcast(shared is not None and shared.is_file())
    state = pretraining.load(shared) if is_there and not session.progress.images else None
    if state is not None:
        session.variant.load_generator_state(state["generators"])
        resume.restore(session, state)
        _advance(session)(session.progress, {})  # the critic's learning rate has gone with the budget too
        session.run.tag(**{TAKEN_OVER: f"taken over from run {state['run'][:8]}"})
    return shared


def _pretrained_state(session: Session) -> dict[str, Any]:
    own = {"generators": session.variant.generator_state(), "metrics": session.run.logged(), "run": session.run.id}
    return own | resume.stream_state(session)


def _validate(session: Session, progress: Progress) -> dict[str, float]:
    """Scores the validation split and draws the preview, on one rank; random draws in here do not touch training."""
    return session.engine.broadcast(_score(session, progress) if session.engine.rank == 0 else {})


def _score(session: Session, progress: Progress) -> dict[str, float]:
    watch, device = session.config.watch, session.engine.device
    state = random_state()
    validation = session.dataset.split("validation")
    labelled = session.config.variant.generator.labels
    colouriser = session.variant.colourise
    calibration = colouriser.prepare()
    metrics = evaluation.score(colouriser, validation, watch.validation_images, device, labelled)
    session.run.log({f"validation/{name}": value for name, value in metrics.items()} | calibration, progress.images)
    if watch.preview_images:
        photographs = callbacks.fixed_photographs(validation, watch.preview_images, device)
        previews = session.run.folder / "previews"
        previews.mkdir(exist_ok=True)
        callbacks.preview(colouriser, photographs, previews / f"{progress.images:09d}.png")
    restore_random_state(state)
    return metrics

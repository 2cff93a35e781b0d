"""Composes and trains one run: resumes it where it stopped, and evaluates it when it is done."""

import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from analysis import evaluation
from common import callbacks, checkpoint
from common.batches import Batches
from common.config import as_json, flatten
from common.domain import domain_of
from common.engine import Engine, random_state, restore_random_state, seed_everything
from common.errors import ColourbenchError, Interrupted
from common.files import locked, write_atomically
from common.progress_bar import ProgressBar
from common.shards import Dataset
from common.tracking import Run, Store
from common.training import Callback, Progress, train
from studies import pretraining
from studies.run_config import RunConfig
from studies.scoring import write_test
from studies.trained import CONFIG, GENERATOR, LABELS
from variants import registry
from variants.variant import Variant

TAKEN_OVER = "pretraining"  # tag of a run that did not pretrain by itself

Report = Callable[[int, dict[str, float]], None]  # number of the validation, its metrics; may raise to stop the run


@dataclass(frozen=True)
class Place:
    """Where a run belongs: its study, its name there, its tags and its parent run."""

    study: str
    name: str
    tags: dict[str, str]
    parent: Run | None = None


@dataclass(frozen=True)
class Session:
    """Everything that one run is made of."""

    config: RunConfig
    run: Run
    dataset: Dataset
    engine: Engine
    variant: Variant
    batches: Batches
    progress: Progress


def train_run(
    store: Store, dataset: Dataset, config: RunConfig, place: Place, report: Report | None = None, test: bool = True
) -> Run:
    """Trains one run to the end of its budget and evaluates it on the test split; a finished run is only returned.

    Args:
        report: told each validation's metrics; it may raise, and the run is then marked as KILLED.
        test: whether the test split is looked at. Sweeps never do.

    Raises:
        Interrupted: a signal came; the checkpoint is saved.
        ColourbenchError: the run diverged, the disk is full, another process trains it …; the run is marked FAILED.
    """
    identity = config.identity(dataset.fingerprint)
    engine = Engine(config.engine)
    tags = {
        "variant": config.variant.name,
        "seed": str(config.seed),
        "dataset": config.dataset,
        "dataset_sha256": dataset.fingerprint,
        "precision": engine.precision,
        "device": str(engine.device),
        "code_version": code_version(),
        **place.tags,
        "config_sha256": identity,
    }
    run = _open(store, place, tags, config, engine)
    if run.status == "FINISHED":
        return run
    busy = f"the run {place.study}/{place.name} is being trained by another process"
    with locked(run.folder / ".lock", busy) if engine.rank == 0 else nullcontext():
        if engine.rank == 0:
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


def _open(store: Store, place: Place, tags: dict[str, str], config: RunConfig, engine: Engine) -> Run:
    """The run, by the first rank; the others listen to it."""
    first = store.open_run(place.study, place.name, tags, flatten(as_json(config)), place.parent) if engine.rank == 0 else None
    run_id = engine.broadcast(first.id if first else "")
    return first or store.listen(run_id)


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


def compose(config: RunConfig, dataset: Dataset, engine: Engine) -> tuple[Engine, Variant, Batches, Progress]:
    """The parts of a run at its start, all drawn from its seed."""
    seed_everything(config.seed)
    variant = registry.build(config.variant, engine, domain_of(dataset))
    batches = Batches(dataset.split("train"), config.batches, config.seed, engine.device, engine.rank, engine.ranks)
    return engine, variant, batches, Progress()


def _train_and_mark(session: Session, report: Report | None, test: bool) -> None:
    """Trains, and leaves the run marked as what became of it."""
    run = session.run
    try:
        with run.watch_machine():
            _train(session, report)
        _finish(session, test)
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
    saver = callbacks.Checkpointer(run.folder, watch.checkpoint_seconds, lambda: _state(session, losses), run.flush, writes)
    saver.path = _resume(session, losses)
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

        bar.say(f"on {session.engine.device} in {session.engine.precision}{_beginning(session)}")
        watchers: list[Callback] = [_advance(session), losses, callbacks.every(interval, unit, progress, look), saver, stop, bar]
        if shared and progress.phase == 0:
            train(phases[:1], session.batches, unit, progress, session.engine, watchers)
            losses.settle(progress)
            if writes:
                pretraining.save(shared, _pretrained_state(session))
        train(phases, session.batches, unit, progress, session.engine, watchers)
    losses.settle(progress)


def _beginning(session: Session) -> str:
    if TAKEN_OVER in session.run.tags and session.progress.phase == 1:
        return f", generator pretraining {session.run.tags[TAKEN_OVER]}"
    return f", going on from image {session.progress.images:,}" if session.progress.images else ""


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
        _restore(session, state)
        _advance(session)(session.progress, {})  # the critic's learning rate has gone with the budget too
        session.run.tag(**{TAKEN_OVER: f"taken over from run {state['run'][:8]}"})
    return shared


def _pretrained_state(session: Session) -> dict[str, Any]:
    common = {"batches": session.batches.state_dict(), "progress": asdict(session.progress), "random": random_state()}
    own = {"generators": session.variant.generator_state(), "metrics": session.run.logged(), "run": session.run.id}
    return common | own


def _restore(session: Session, state: dict[str, Any]) -> None:
    """The parts of a state that do not depend on the variant."""
    session.batches.load_state_dict(state["batches"])
    for name, value in state["progress"].items():
        setattr(session.progress, name, value)
    session.run.restore(state["metrics"])
    restore_random_state(state["random"])


def _validate(session: Session, progress: Progress) -> dict[str, float]:
    """Scores the validation split and draws the preview, on one rank; random draws in here do not touch training."""
    return session.engine.broadcast(_score(session, progress) if session.engine.rank == 0 else {})


def _score(session: Session, progress: Progress) -> dict[str, float]:
    watch, device = session.config.watch, session.engine.device
    state = random_state()
    validation = session.dataset.split("validation")
    labelled = session.config.variant.generator.labels
    metrics = evaluation.score(session.variant.colourise, validation, watch.validation_images, device, labelled)
    session.run.log({f"validation/{name}": value for name, value in metrics.items()}, progress.images)
    if watch.preview_images:
        photographs = callbacks.fixed_photographs(validation, watch.preview_images, device)
        previews = session.run.folder / "previews"
        previews.mkdir(exist_ok=True)
        callbacks.preview(session.variant.colourise, photographs, previews / f"{progress.images:09d}.png")
    restore_random_state(state)
    return metrics


def _state(session: Session, losses: callbacks.LogLosses) -> dict[str, Any]:
    """All that a resumed run needs to be the same run."""
    return {
        "identity": session.run.tags["config_sha256"],
        "variant": session.variant.state_dict(),
        "batches": session.batches.state_dict(),
        "progress": asdict(session.progress),
        "random": random_state(),
        "losses": losses.state_dict(),
        "metrics": session.run.pending(),
    }


def _resume(session: Session, losses: callbacks.LogLosses) -> Path | None:
    """Takes up the newest checkpoint, if there is one, and returns its path."""
    path, state = checkpoint.latest(session.run.folder)
    session.engine.any(False)  # no rank writes the next checkpoint before all have read this one
    if state is None:
        return None
    if state["identity"] != session.run.tags["config_sha256"]:
        raise ColourbenchError(
            f"the checkpoint in {session.run.folder} was written with other settings; move it away to train anew with these"
        )
    session.variant.load_state_dict(state["variant"])
    losses.load_state_dict(state["losses"])
    _restore(session, state)
    return path


def _finish(session: Session, test: bool) -> None:
    """Saves the generator, scores the test split, logs the cost and ends the run; one rank does."""
    if session.engine.rank:
        return
    run, engine, generator = session.run, session.engine, session.variant.colourise.network
    domain = {"size": session.dataset.config.size, "classes": len(session.dataset.labels)}
    state = {**domain, "network": generator.state_dict(), "identity": run.tags["config_sha256"]}
    checkpoint.save_file(run.folder / GENERATOR, state)
    write_atomically(run.folder / LABELS, json.dumps(session.dataset.labels).encode())
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    images = session.progress.images
    cost = {"peak_memory_gb": engine.peak_memory() / 1e9, "generator_parameters": float(parameters), "images": float(images)}
    run.log(cost, images)
    if test:
        labelled = session.config.variant.generator.labels
        write_test(run, session.variant.colourise, session.dataset, engine.device, images, labelled)
    if session.config.watch.keep == "generator":
        checkpoint.remove_all(run.folder)  # before the end is marked: a finished run is never looked at again
    run.finish()

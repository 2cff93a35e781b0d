"""Composes and trains one run: resumes it where it stopped, and evaluates it when it is done."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis import evaluation
from analysis.results import PER_IMAGE, SAMPLES
from common import callbacks, checkpoint
from common.batches import Batches
from common.config import as_json, flatten, parse
from common.engine import Engine, EngineConfig, random_state, restore_random_state, seed_everything
from common.errors import ColourbenchError, Interrupted
from common.files import locked, write_atomically
from common.progress_bar import ProgressBar
from common.shards import Dataset
from common.tracking import Run, Store
from common.training import Callback, Progress, train
from studies.run_config import RunConfig
from variants import registry
from variants.variant import Variant

GENERATOR = "generator.pt"
CONFIG = "config.json"
SAMPLE_IMAGES = 64

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
    run = store.open_run(place.study, place.name, tags, flatten(as_json(config)), place.parent)
    with locked(run.folder / ".lock", f"the run {place.study}/{place.name} is being trained by another process"):
        if run.status == "FINISHED":
            return run
        write_atomically(run.folder / CONFIG, json.dumps(as_json(config), indent=2).encode())
        _train_and_mark(Session(config, run, dataset, *_compose(config, dataset, engine)), report, test)
    return run


def load_run(run: Run, device: str = "auto") -> tuple[Variant, RunConfig]:
    """A finished run's variant with its trained generator, ready to colourise.

    Raises:
        ColourbenchError: the run has no trained generator.
    """
    path = run.folder / GENERATOR
    if not path.is_file():
        raise ColourbenchError(
            f"the run {run.name} has no trained generator (its status is {run.status}); train it to the end first"
        )
    config = read_config(run)
    engine = Engine(parse(EngineConfig, as_json(config.engine) | {"device": device}, "--device"))
    state = checkpoint.load(path, engine.device)
    variant = registry.build(config.variant, engine, int(state["size"]))
    variant.generator.network.load_state_dict(state["network"])
    return variant, config


def read_config(run: Run) -> RunConfig:
    """The settings that a run was trained with."""
    path = run.folder / CONFIG
    if not path.is_file():
        raise ColourbenchError(f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?")
    return parse(RunConfig, json.loads(path.read_bytes()), str(path))


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


def _compose(config: RunConfig, dataset: Dataset, engine: Engine) -> tuple[Engine, Variant, Batches, Progress]:
    seed_everything(config.seed)
    variant = registry.build(config.variant, engine, dataset.config.size)
    batches = Batches(dataset.split("train"), config.batches, config.seed, engine.device, engine.rank, engine.ranks)
    return engine, variant, batches, Progress()


def _train_and_mark(session: Session, report: Report | None, test: bool) -> None:
    """Trains, and leaves the run marked as what became of it."""
    run = session.run
    try:
        _train(session, report)
        _finish(session, test)
    except (Interrupted, KeyboardInterrupt):
        run.abandon("KILLED")
        raise
    except ColourbenchError:
        run.abandon("FAILED")
        raise
    except (MemoryError, RuntimeError) as error:
        run.abandon("FAILED")
        if _is_out_of_memory(error):
            size, pixels = session.config.batches.size, session.dataset.config.size
            raise ColourbenchError(f"out of memory with batches.size={size} at {pixels} px; lower batches.size") from None
        raise
    except BaseException:  # a pruned trial, or a bug: the run must not stay RUNNING for ever
        run.abandon("KILLED")
        raise


def _is_out_of_memory(error: BaseException) -> bool:
    """On a GPU torch has a type for it, on a CPU only a text."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def _train(session: Session, report: Report | None) -> None:
    config, run, progress = session.config, session.run, session.progress
    watch = config.watch
    losses = callbacks.LogLosses(run, watch.log_steps, lambda: saver.last_good())
    saver = callbacks.Checkpointer(run.folder, watch.checkpoint_seconds, lambda: _state(session, losses), run.flush)
    saver.path = _resume(session, losses)
    phases = session.variant.phases(config.budget)
    interval, unit = config.budget.amount / watch.validations, config.budget.unit
    with ProgressBar(run.name, config.budget, progress) as bar, callbacks.StopOnSignal(saver.save) as stop:

        def look(now: Progress) -> None:
            losses.settle(now)
            metrics = _validate(session, now)
            bar.show(now, metrics)
            if report:
                report(round(now.count(unit) / interval), metrics)

        resumed = f", going on from image {progress.images:,}" if progress.images else ""
        bar.say(f"on {session.engine.device} in {session.engine.precision}{resumed}")
        watchers: list[Callback] = [losses, callbacks.every(interval, unit, progress, look), saver, stop, bar]
        train(phases, session.batches, unit, progress, session.engine, watchers)
    losses.settle(progress)


def _validate(session: Session, progress: Progress) -> dict[str, float]:
    """Scores the validation split and draws the preview; random draws in here do not touch training."""
    watch, device = session.config.watch, session.engine.device
    state = random_state()
    validation = session.dataset.split("validation")
    metrics = evaluation.score(session.variant.colourise, validation, watch.validation_images, device)
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
    if state is None:
        return None
    if state["identity"] != session.run.tags["config_sha256"]:
        raise ColourbenchError(
            f"the checkpoint in {session.run.folder} was written with other settings; move it away to train anew with these"
        )
    session.variant.load_state_dict(state["variant"])
    session.batches.load_state_dict(state["batches"])
    for name, value in state["progress"].items():
        setattr(session.progress, name, value)
    losses.load_state_dict(state["losses"])
    session.run.restore(state["metrics"])
    restore_random_state(state["random"])
    return path


def _finish(session: Session, test: bool) -> None:
    """Saves the generator, scores the test split, logs the cost and ends the run."""
    run, engine, generator = session.run, session.engine, session.variant.generator.network
    state = {"size": session.dataset.config.size, "network": generator.state_dict(), "identity": run.tags["config_sha256"]}
    checkpoint.save_file(run.folder / GENERATOR, state)
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    images = session.progress.images
    cost = {"peak_memory_gb": engine.peak_memory() / 1e9, "generator_parameters": float(parameters), "images": float(images)}
    run.log(cost, images)
    if test:
        write_test(run, session.variant.colourise, session.dataset, engine.device, images)
    if session.config.watch.keep == "generator":
        checkpoint.remove_all(run.folder)  # before the end is marked: a finished run is never looked at again
    run.finish()


def write_test(run: Run, colourise: evaluation.Colouriser, dataset: Dataset, device: torch.device | str, images: int) -> None:
    """Per-image metrics of the test split, sample photographs, and the metrics' means."""
    found = evaluation.evaluate(colourise, dataset.split("test"), device, SAMPLE_IMAGES)
    found.table.to_parquet(run.folder / PER_IMAGE, index=False)
    np.save(run.folder / SAMPLES, found.samples)
    finite = found.table[list(evaluation.METRICS)].replace([np.inf, -np.inf], np.nan).mean()  # identical photographs have PSNR inf
    run.log({f"test/{name}": float(value) for name, value in finite.items()}, images)

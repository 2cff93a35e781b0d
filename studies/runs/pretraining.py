"""Generator pretraining that is done once and shared by every run that would do exactly the same.

Runs share it if their generator, reconstruction loss, schedule, batches, engine, seed and data set are the same, whatever their
critic and objective. They share the state at the end: weights, optimiser, stream, random state and logged metrics, so that a run
that loads it is bit for bit the run that would have pretrained by itself. The files may be deleted at any time.
"""

from pathlib import Path
from typing import Any

from common.config import sha256
from common.loop import checkpoint
from common.loop.engine import ranks
from studies.runs.configuration import RunConfig

FOLDER = "pretrained"
FORMAT = 5  # of the state; files in another format are ignored


def file_for(home: Path, config: RunConfig, dataset_sha256: str) -> Path | None:
    """Returns the file of a run's shared pretraining; None for a run without pretraining of its own."""
    share = config.schedule.pretraining
    if not 0 < share < 1 or config.start_from:
        return None
    shared = ("generator", "reconstruction", "label_dropout", "accumulation", "test_time")
    settings = config.by_content()
    devices = ranks()  # each has noise of its own
    decides = {name: value for name, value in settings["variant"].items() if name in shared}
    parents = getattr(config.variant, "parents", 1)
    run = {
        name: value
        for name, value in settings.items()
        if name in ("seed", "budget", "batches", "engine")
    }
    # what is logged
    looks = {
        name: getattr(config.watch, name)
        for name in ("validations", "validation_images", "log_steps")
    }
    return (
        home
        / FOLDER
        / f"{sha256([FORMAT, decides, share, parents, run, looks, devices, dataset_sha256])[:32]}.pt"
    )


def save(path: Path, state: dict[str, Any]) -> None:
    """Saves the state at the end of pretraining."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_file(path, state)


def load(path: Path | None) -> dict[str, Any] | None:
    """Returns the state; None if the file is missing or damaged."""
    if path is None or not path.is_file():
        return None
    try:
        return checkpoint.load(path)
    except checkpoint.DamagedCheckpoint:
        path.unlink(missing_ok=True)  # it only saves time: this run pretrains by itself
        return None

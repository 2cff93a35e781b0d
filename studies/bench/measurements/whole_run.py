"""What a whole run takes beside its steps: batches, validation, previews, logging and checkpoints, in the product's own way."""

import tempfile
import time
from pathlib import Path

from PIL import Image

from common.config import parse
from common.data import preparation
from common.data.manifest import ShardConfig
from common.data.shards import Dataset
from common.data.sources import published
from common.loop.engine import Engine
from common.tracking import Store
from studies.bench.measurements.photographs import fields
from studies.bench.result import Result, Side, own_store
from studies.bench.tasks import Task
from studies.runs.configuration import RunConfig
from studies.runs.session import Session
from studies.runs.training import train

PHOTOGRAPHS = 640  # of which 256 are validated, as many as by default
# of a run, whose ten validations take the same share of 128,000 images
IMAGES_A_VALIDATION = 12_800


def whole_run(task: Task, target: float | None, images: int = IMAGES_A_VALIDATION) -> Result:
    """Measures the share of a run's time that is spent in its steps, between the start and the end of its training.

    Args:
        images: of the run, which has one validation.
        target: the share that is wanted at least.
    """
    with tempfile.TemporaryDirectory() as name, own_store():
        folder = Path(name)
        session = _session(task, folder, images)
        started = time.perf_counter()
        with session.run.watch_machine():
            train(session)
        whole = time.perf_counter() - started
    steps = session.progress.seconds
    drawn = session.progress.images
    sides = [
        Side("its steps", steps, drawn / steps),
        Side("the whole", whole, drawn / whole),
    ]
    title = f"{task.variant} run of {drawn:,} images, {task.size} px, batch {task.batch}, width {task.base_width}"
    return Result(title, sides, steps / whole, target, ratio_of="of the time is in its steps")


def _session(task: Task, folder: Path, images: int) -> Session:
    networks = {"network": {"base_width": task.base_width}}
    config = parse(
        RunConfig,
        {
            "variant": {"name": task.variant, "generator": networks, "critic": networks},
            "dataset": "bench",
            "budget": {"amount": images, "unit": "images"},
            "batches": {"size": task.batch},
            "engine": {"device": task.device, "precision": task.precision},
            "watch": {"validations": 1},
        },
    )
    run = Store(folder).open_run("bench", "whole", {"config_sha256": "bench"}, {})
    return Session(config, run, _dataset(folder, task.size), Engine(config.engine))


def _dataset(folder: Path, size: int) -> Dataset:
    photographs = folder / "photographs" / "all"
    photographs.mkdir(parents=True)
    for number, image in enumerate(fields(PHOTOGRAPHS, size)):
        Image.fromarray(image).save(photographs / f"{number:03d}.png")
    config = ShardConfig(size=size, margin=0, validation=0.4, test=0.05)
    files = published.list_files("folder", photographs.parent)
    return preparation.prepare(files, folder / "shards", config)

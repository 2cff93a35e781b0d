"""What logging and checkpoints cost on top of training, in the product's own loop."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from common.data.batches import BatchConfig, Batches
from common.loop.callbacks import Checkpointer, LogLosses, WatchConfig
from common.loop.training import Budget, Callback, Losses, Progress, train
from common.tracking import Store
from studies.bench.measurements.photographs import prepared, write_photographs
from studies.bench.result import Result, Side, own_store
from studies.bench.tasks import Task, product_variant
from variants.schedule.phases import ScheduleConfig, schedule_of


class TimedCallback:
    """A callback, and the seconds that it took."""

    def __init__(self, callback: Callback) -> None:
        self.seconds = 0.0
        self._callback = callback

    def __call__(self, progress: Progress, losses: Losses) -> None:
        started = time.perf_counter()
        self._callback(progress, losses)
        self.seconds += time.perf_counter() - started


def logging_and_checkpoints(task: Task, steps: int, target: float | None = None) -> Result:
    """Measures their share of the time with a run's defaults: losses every few steps, a checkpoint by the clock."""
    watch = WatchConfig()
    with tempfile.TemporaryDirectory() as folder:
        seconds, beside, saving = _seconds_of_parts(task, steps, watch, Path(folder))
    step = seconds / steps
    logging = beside / steps
    share = logging / step + saving / watch.checkpoint_seconds
    sides = [
        Side("a step", step, 1 / step),
        Side("logging beside it", logging, 1 / max(logging, 1e-12)),
        Side(f"a checkpoint, each {watch.checkpoint_seconds:.0f} s", saving, 1 / saving),
    ]
    name = f"logging and checkpoints, {task.variant}, {task.size} px, batch {task.batch}"
    return Result(name, sides, share, target, at_most=True, ratio_of="of training time")


def _seconds_of_parts(
    task: Task, steps: int, watch: WatchConfig, folder: Path
) -> tuple[float, float, float]:
    """Seconds of the whole training, of logging beside it, and of one checkpoint."""
    progress = Progress()
    variant = product_variant(task)
    batches = _batches(folder, task)
    run = _own_store(folder).open_run("bench", "bench", {}, {})
    losses = LogLosses(run, watch.log_steps, str)

    def state() -> dict[str, Any]:
        return {
            "variant": variant.state_dict(),
            "batches": batches.state_dict(),
            "losses": losses.state_dict(),
        }

    saver = Checkpointer(run.folder, float("inf"), state, run.flush)
    watchers = [TimedCallback(losses), TimedCallback(saver)]
    budget = Budget(amount=steps * task.batch, unit="images")
    with run.watch_machine():
        train(
            schedule_of(variant, ScheduleConfig()).phases(budget),
            batches,
            "images",
            progress,
            variant.engine,
            watchers,
        )
    saving = min(_seconds_of_saving(saver, progress) for _ in range(3))
    beside = sum(watcher.seconds for watcher in watchers)
    return progress.seconds, beside, saving


def _own_store(folder: Path) -> Store:
    with own_store():
        return Store(folder)


def _seconds_of_saving(saver: Checkpointer, progress: Progress) -> float:
    started = time.perf_counter()
    progress.images += 1  # so that a new file is written
    saver.save(progress)
    return time.perf_counter() - started


def _batches(folder: Path, task: Task) -> Batches:
    dataset = prepared(
        write_photographs(folder / "photographs", task.size), folder / "shards", task.size
    )
    return Batches(
        dataset.split("train"), BatchConfig(size=task.batch), 0, torch.device(task.device)
    )

"""Images per second and memory of each variant's step against batch size, image size and threads."""

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd

from common.errors import ColourbenchError
from studies.bench.measurements.stepper import stepper
from studies.bench.tasks import Task
from variants.registry import with_critic

BATCHES = (1, 2, 4, 8, 16)
SIZES = (32, 64, 128, 256)
STEPS = 3


def scaling(base: Task, say: Callable[[str], None]) -> pd.DataFrame:
    """Columns variant, axis (batch, size or threads), value, images_per_second, memory_gb; reports and omits what does not fit.

    Settings of `base` other than the axis are fixed; WGAN-GP's step is its critic update.
    """
    rows = []
    for axis, value, task in _tasks(base):
        try:
            speed, memory = _measured(task)
        except ColourbenchError as error:
            say(str(error))
            continue
        say(f"{task.variant}, {axis} {value}: {speed:,.1f} images/s, {memory:.2f} GB")
        rows.append((task.variant, axis, value, speed, memory))
    return pd.DataFrame(
        rows, columns=["variant", "axis", "value", "images_per_second", "memory_gb"]
    )


def _measured(task: Task) -> tuple[float, float]:
    with stepper(task, "product") as product:
        product.step()  # warm-up: pays for one-time allocations
        seconds = statistics.median(product.step() for _ in range(STEPS))
        return task.batch / seconds, product.end().memory_gb


def _tasks(base: Task) -> Iterator[tuple[str, int, Task]]:
    for variant in with_critic():
        yield from (("batch", n, replace(base, variant=variant, batch=n)) for n in BATCHES)
        yield from (("size", n, replace(base, variant=variant, size=n)) for n in SIZES)
        if base.device == "cpu":
            yield from (
                ("threads", n, replace(base, variant=variant, threads=n)) for n in _threads()
            )


def _threads() -> list[int]:
    most = os.cpu_count() or 1
    return sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most})

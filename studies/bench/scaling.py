"""Images per second and memory of each variant's step against batch size, image size and threads."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd

from common.errors import ColourbenchError
from studies.bench.training import Task, measured

VARIANTS = ("cgan", "wgan_gp", "egan")
BATCHES, SIZES = (1, 2, 4, 8, 16), (32, 64, 128, 256)


def scaling(base: Task, say: Callable[[str], None]) -> pd.DataFrame:
    """Columns variant, axis (batch, size or threads), value, images_per_second, memory_gb; what does not fit is left out and said.

    `base` is held but for the axis; WGAN-GP's step is its critic update.
    """
    rows = []
    for axis, value, task in _tasks(base):
        try:
            found = measured(task, "product")
        except ColourbenchError as error:
            say(str(error))
            continue
        speed = task.batch / found.seconds
        say(f"{task.variant}, {axis} {value}: {speed:,.1f} images/s, {found.memory_gb:.2f} GB")
        rows.append((task.variant, axis, value, speed, found.memory_gb))
    return pd.DataFrame(rows, columns=["variant", "axis", "value", "images_per_second", "memory_gb"])


def _tasks(base: Task) -> Iterator[tuple[str, int, Task]]:
    for variant in VARIANTS:
        yield from (("batch", n, replace(base, variant=variant, batch=n)) for n in BATCHES)
        yield from (("size", n, replace(base, variant=variant, size=n)) for n in SIZES)
        if base.device == "cpu":
            yield from (("threads", n, replace(base, variant=variant, threads=n)) for n in _threads())


def _threads() -> list[int]:
    most = os.cpu_count() or 1
    return sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most})

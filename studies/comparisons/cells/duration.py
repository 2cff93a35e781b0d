"""How long a study will still take: measured on a few steps of each arm before it starts, and from its finished runs later."""

import os
from collections.abc import Sequence

from common.data.shards import Dataset
from common.tracking import Run, Store
from studies.comparisons.cells.arms import Cell
from studies.runs.estimate import estimate

HOUR = 3600.0


def unfinished(store: Store, study: str, cells: Sequence[Cell], dataset: Dataset) -> list[Cell]:
    """The cells that are still to be trained."""
    left = []
    for cell in cells:
        run = store.find_one(study, cell.name, cell.config.identity(dataset.fingerprint))
        if run is None or run.status != "FINISHED":
            left.append(cell)
    return left


def measured_hours(cells: Sequence[Cell], dataset: Dataset, workers: int = 1) -> float:
    """Hours of training on this machine, without validation and tests, measured on a few steps of each arm.

    Args:
        workers: processes that train side by side, each with its share of the cores.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    hours: dict[str, float] = {}
    for cell in cells:
        if cell.arm not in hours:
            engine = cell.config.engine.model_copy(update={"threads": threads})
            config = cell.config.model_copy(update={"engine": engine})
            hours[cell.arm] = estimate(dataset, config).hours
    return sum(hours[cell.arm] for cell in cells) / workers


def time_left(finished: Sequence[Run], left: Sequence[str], workers: int = 1) -> str:
    """`about 1.5 h left`, from the seconds of finished runs; empty where none is finished or nothing is left.

    Args:
        left: the arm of each run that is still to be trained; one of which nothing is finished takes the mean of the others.
    """
    seconds: dict[str, list[float]] = {}
    for run in finished:
        if value := run.metrics.get("seconds"):
            seconds.setdefault(run.tags["arm"], []).append(value)
    if not seconds or not left:
        return ""
    means = {arm: sum(values) / len(values) for arm, values in seconds.items()}
    typical = sum(means.values()) / len(means)
    return f"about {in_words(sum(means.get(arm, typical) for arm in left) / workers)} left"


def in_words(seconds: float) -> str:
    """A duration as a person says it: `40 s`, `25 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR:.1f} h"

"""Time and memory of a large study's report: made-up figures, the product's own way from parquet to page."""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.results import COLUMNS
from common.colour.metrics import MEASURED
from common.data.shards import Dataset
from common.files.names import PER_IMAGE, SAMPLES, STUDY
from common.loop.own_process import OwnProcess
from common.tracking.names import COMPARED, DECLARED
from studies.bench.measurements.photographs import prepared, write_photographs
from studies.bench.result import Result, Side, own_store
from studies.home import Home

SIZE = 32
NAME = "large"


def report_of(arms: int, seeds: int, photographs: int, limits: tuple[float, float] | None = None) -> list[Result]:
    """Measures seconds and memory of `colourbench report` on a study of that size, in a separate process.

    Args:
        limits: upper targets for seconds and for GB.
    """
    with tempfile.TemporaryDirectory() as folder, own_store():
        write_study(Home(Path(folder)), arms, seeds, photographs)
        with OwnProcess() as process:
            seconds, memory = process.call(_measure, folder)
    name = f"report of {arms} arms x {seeds} seeds x {photographs:,} photographs x {len(MEASURED)} metrics"
    sides = [Side("report", seconds, 1 / seconds, memory_gb=memory)]
    most = limits or (None, None)
    return [
        Result(name, sides, seconds, most[0], at_most=True, ratio_of="seconds"),
        Result("memory of the same", sides, memory, most[1], at_most=True, ratio_of="GB"),
    ]


def _measure(folder: str) -> tuple[float, float]:
    from studies.comparisons import reports

    home = Home(Path(folder))
    _ = home.store  # importing MLflow is not part of the report
    started = time.perf_counter()
    reports.report(home, NAME, say=lambda text: None)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def write_study(home: Home, arms: int, seeds: int, photographs: int) -> None:
    """Writes a study's runs as `colourbench compare` leaves them in a home folder, with random figures."""
    dataset = prepared(write_photographs(home.path / "photographs", SIZE), home.data / "bench", SIZE)
    parent = home.store.open_run(NAME, "comparison", {"kind": "comparison", "config_sha256": "0"}, {})
    draw, hard = np.random.default_rng(0), np.random.default_rng(1).normal(0, 2, photographs)
    cells = {}
    for number in range(arms):
        for seed in range(seeds):
            name = f"arm {number} seed {seed}"
            tags = {"kind": "cell", "arm": f"arm {number}", "seed": str(seed), "variant": "regression"}
            tags |= {"dataset_sha256": dataset.fingerprint, "config_sha256": name}
            run = home.store.open_run(NAME, name, tags, {}, parent)
            level = hard + 0.1 * number + draw.normal(0, 0.3)
            _write_cell(run.folder, dataset, level + draw.normal(0, 0.5, photographs))
            run.log({"seconds": 60.0, "images": 1000.0, "updates": 100.0, "validation/delta_e": 12.0}, 1000)
            run.log({"validation/psnr_rgb": 20.0, "validation/colourfulness": 20.0}, 1000)
            run.finish()
            cells[name] = name
    settings = {"question": "Is it quick?", "dataset": "bench", "primary": "delta_e", "margin": 0.5, "seeds": list(range(seeds))}
    settings |= {"budget": {"amount": 1000, "unit": "images"}, "baselines": [], "arms": {f"arm {k}": {} for k in range(arms)}}
    (parent.folder / STUDY).write_text(json.dumps({**settings, "cells": cells, DECLARED: "2026-01-01"}))
    parent.tag(**{COMPARED: "2026-01-01"})
    parent.finish()


def _write_cell(folder: Path, dataset: Dataset, level: np.ndarray) -> None:
    test = dataset.split("test")
    names = [entry.photograph for entry in test.entries()]
    names += [f"more/{number:06d}.jpg" for number in range(len(level) - len(names))]
    given = {"image": [f"{name}#0" for name in names], "photograph": names, "label": ""}
    measured = dict.fromkeys((*COLUMNS[3:], "bleeding", "colourfulness_truth", "bleeding_truth"), level + 12)
    pd.DataFrame(given | measured).to_parquet(folder / PER_IMAGE, index=False)
    np.save(folder / SAMPLES, test.centres(np.arange(len(test))))

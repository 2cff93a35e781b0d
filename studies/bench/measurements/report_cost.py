"""Time and memory of a large study's report: made-up figures, the product's own way from parquet to page."""

import json
import resource
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.metrics.distances import SetFigures
from analysis.metrics.perceptual import SET_METRICS
from analysis.results import COLUMNS
from common.colour.metrics import MEASURED
from common.data.shards import Dataset
from common.system.names import PER_IMAGE, PERCEPTUAL, SAMPLES, SET_DISTANCES, STUDY
from common.system.processes import OwnProcess
from common.tracking import Run
from common.tracking.names import COMPARED, DECLARED
from studies.bench.measurements.photographs import prepared, write_photographs
from studies.bench.result import Result, Side, own_store
from studies.home import Home

SIZE = 32
NAME = "large"
DECLARATION = {
    "question": "Is it quick?",
    "dataset": "bench",
    "primary": "delta_e",
    "margin": 0.5,
    "budget": {"amount": 1000, "unit": "images"},
    "baselines": [],
    DECLARED: "2026-01-01",
}


def report_of(
    arms: int, seeds: int, photographs: int, limits: tuple[float, float] | None = None
) -> list[Result]:
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
    return time.perf_counter() - started, resource.getrusage(
        resource.RUSAGE_SELF
    ).ru_maxrss * 1024 / 1e9


def write_study(home: Home, arms: int, seeds: int, photographs: int) -> None:
    """Writes a study's runs as `colourbench compare` leaves them in a home folder, with random figures."""
    files = write_photographs(home.path / "photographs", SIZE)
    dataset = prepared(files, home.data / "bench", SIZE)
    tags = {"kind": "comparison", "config_sha256": "0"}
    parent = home.store.open_run(NAME, "comparison", tags, {})
    draw = np.random.default_rng(0)
    hard = np.random.default_rng(1).normal(0, 2, photographs)
    cells = []
    for arm in range(arms):
        for seed in range(seeds):
            level = hard + 0.1 * arm + draw.normal(0, 0.3)
            figures = level + draw.normal(0, 0.5, photographs)
            cells.append(_write_cell(home, parent, dataset, (arm, seed), figures))
    settings = {
        **DECLARATION,
        "seeds": list(range(seeds)),
        "arms": {f"arm {number}": {} for number in range(arms)},
        "cells": dict(zip(cells, cells, strict=True)),
    }
    (parent.folder / STUDY).write_text(json.dumps(settings))
    parent.tag(**{COMPARED: "2026-01-01"})
    parent.finish()


def _write_cell(
    home: Home, parent: Run, dataset: Dataset, cell: tuple[int, int], figures: np.ndarray
) -> str:
    """Writes the run of one (arm, seed) and returns its name."""
    arm, seed = cell
    name = f"arm {arm} seed {seed}"
    tags = {
        "kind": "cell",
        "arm": f"arm {arm}",
        "seed": str(seed),
        "variant": "regression",
        "dataset_sha256": dataset.fingerprint,
        "config_sha256": name,
    }
    run = home.store.open_run(NAME, name, tags, {}, parent)
    _write_figures(run.folder, dataset, figures)
    cost = {"seconds": 60.0, "images": 1000.0, "updates": 100.0, "validation/delta_e": 12.0}
    run.log(cost, 1000)
    run.log({"validation/psnr_rgb": 20.0, "validation/colourfulness": 20.0}, 1000)
    run.finish()
    return name


def _write_figures(folder: Path, dataset: Dataset, figures: np.ndarray) -> None:
    test = dataset.split("test")
    names = [entry.photograph for entry in test.entries()]
    names += [f"more/{number:06d}.jpg" for number in range(len(figures) - len(names))]
    given = {"image": [f"{name}#0" for name in names], "photograph": names, "label": ""}
    measured = dict.fromkeys(
        (*COLUMNS[3:], "bleeding", "colourfulness_truth", "bleeding_truth"), figures + 12
    )
    pd.DataFrame(given | measured).to_parquet(folder / PER_IMAGE, index=False)
    # as measured before: whichever networks this machine has, none of them is asked about weights that do not exist
    pd.DataFrame({"lpips": figures / 100}).to_parquet(folder / PERCEPTUAL, index=False)
    distances = asdict(
        SetFigures(frechet=20.0, frechet_error=0.5, kernel=0.02, kernel_error=0.001, n=len(figures))
    )
    (folder / SET_DISTANCES).write_text(json.dumps(dict.fromkeys(SET_METRICS, distances)))
    np.save(folder / SAMPLES, test.centres(np.arange(len(test))))

"""Measures LPIPS and the distances between sets of a study's finished cells, as soon as the weights are available."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch

from analysis.metrics import perceptual
from analysis.metrics.distances import Features
from analysis.metrics.perceptual import SET_METRICS, Measured, Networks
from analysis.results import Results
from common.system import integrity
from common.system.atomic import replacing, write_atomically
from common.system.names import PERCEPTUAL, SET_DISTANCES
from common.tracking import Run
from studies.comparisons.cells.untrained import coloured
from studies.home import Home
from studies.runs.finish import AT_THE_END

Say = Callable[[str], None]


def measure(home: Home, results: Results, say: Say) -> list[str]:
    """Measures the missing figures, and returns those that cannot be measured, each with its remedy.

    Raises:
        ColourbenchError: weight files exist but are not the published ones.
    """
    networks = perceptual.networks("cuda" if torch.cuda.is_available() else "cpu")
    truth: dict[str, Features] = {}
    photographs = [entry.photograph for entry in results.dataset.split("test").entries()]
    for run in results.cells:
        if _is_measured(run, networks):
            continue
        say(f"measuring {_named(networks)} of {run.name}")
        measured = perceptual.measure(coloured(home, run, results.dataset), networks, truth)
        truth = measured.truth
        _write(run, measured, photographs)
    return networks.missing


def _is_measured(run: Run, networks: Networks) -> bool:
    lacks_lpips = networks.compare and not (run.folder / PERCEPTUAL).is_file()
    return not lacks_lpips and set(networks.extract) <= set(_measured_sets(run))


def _measured_sets(run: Run) -> dict[str, Any]:
    """The distances that a cell has, by network."""
    sets: dict[str, Any] = (
        json.loads((run.folder / SET_DISTANCES).read_bytes())
        if (run.folder / SET_DISTANCES).is_file()
        else {}
    )
    return sets


def _named(networks: Networks) -> str:
    names = ["LPIPS"] if networks.compare else []
    for network in networks.extract:
        names += [SET_METRICS[network].frechet, SET_METRICS[network].kernel]
    return ", ".join(names)


def _write(run: Run, measured: Measured, photographs: Sequence[str]) -> None:
    if measured.lpips is not None:
        with replacing(run.folder / PERCEPTUAL) as file:
            pd.DataFrame({"lpips": measured.lpips}).to_parquet(file, index=False)
        integrity.seal(run.folder, [PERCEPTUAL])
        run.log({"test/lpips": float(measured.lpips.mean())}, AT_THE_END)
    sets = measured.sets(photographs)
    if sets:
        kept = _measured_sets(run) | {name: asdict(figures) for name, figures in sets.items()}
        write_atomically(run.folder / SET_DISTANCES, json.dumps(kept).encode())
        integrity.seal(run.folder, [SET_DISTANCES])
    for name, figures in sets.items():
        run.log(
            {f"test/frechet_{name}": figures.frechet, f"test/kernel_{name}": figures.kernel},
            AT_THE_END,
        )
    run.flush()

"""Measures LPIPS, FID and KID of a study's finished cells, as soon as the weights are available."""

import json
from collections.abc import Callable
from dataclasses import asdict

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analysis.metrics import perceptual
from analysis.metrics.perceptual import Measured, Networks
from analysis.results import Results
from common.files import integrity
from common.files.atomic import replacing, write_atomically
from common.files.names import PERCEPTUAL, SETS
from common.tracking import Run
from studies.comparisons.untrained import coloured
from studies.home import Home

Say = Callable[[str], None]


def measure(home: Home, results: Results, say: Say) -> list[str]:
    """Measures the missing figures, and returns those that cannot be measured, each with its remedy.

    Raises:
        ColourbenchError: weight files exist but are not the published ones.
    """
    networks = perceptual.networks("cuda" if torch.cuda.is_available() else "cpu")
    truth: Float[Tensor, "n f"] | None = None
    for run in results.cells:
        if _is_measured(run, networks):
            continue
        say(f"measuring {_named(networks)} of {run.name}")
        measured = perceptual.measure(coloured(home, run, results.dataset), networks, truth)
        truth = measured.truth
        _write(run, measured)
    return networks.missing


def _is_measured(run: Run, networks: Networks) -> bool:
    lacks_lpips = networks.compare and not (run.folder / PERCEPTUAL).is_file()
    lacks_sets = networks.extract and not (run.folder / SETS).is_file()
    return not (lacks_lpips or lacks_sets)


def _named(networks: Networks) -> str:
    return " and ".join(name for name, network in (("LPIPS", networks.compare), ("FID, KID", networks.extract)) if network)


def _write(run: Run, measured: Measured) -> None:
    if measured.lpips is not None:
        with replacing(run.folder / PERCEPTUAL) as file:
            pd.DataFrame({"lpips": measured.lpips}).to_parquet(file, index=False)
        integrity.seal(run.folder, [PERCEPTUAL])
        run.log({"test/lpips": float(measured.lpips.mean())}, int(run.metrics.get("images", 0)))
    if measured.sets is not None:
        write_atomically(run.folder / SETS, json.dumps(asdict(measured.sets)).encode())
        integrity.seal(run.folder, [SETS])
        run.log({"test/fid": measured.sets.fid, "test/kid": measured.sets.kid}, int(run.metrics.get("images", 0)))
    run.flush()

"""Finishes a trained run: saves its generator, its metrics on the test split, its cost, and the checksums of its files."""

import json

import numpy as np
import torch

from analysis.evaluation import DIVERSITY, Evaluation
from analysis.metrics import conditions
from common.colour.metrics import MEASURED
from common.files import integrity
from common.files.atomic import replacing, write_atomically
from common.files.names import CONDITIONS, CONFIG, GENERATOR, LABELS, PER_IMAGE, SAMPLES
from common.loop import checkpoint
from common.loop.costs import CountFlops
from common.tracking.names import CONDITION, TEST
from common.tracking.run import Run
from studies.runs.session import Session
from studies.runs.trained import evaluate, save_generator
from variants.players.calibration import TEST_IMAGES
from variants.players.colouriser import Colouriser

SAMPLE_IMAGES = 64


def finish(session: Session, test: bool) -> None:
    """Saves the generator for later use, scores the test split, logs the cost and ends the run; only the first rank does this."""
    if session.engine.rank:
        return
    run, images = session.run, session.progress.images
    colouriser = session.variant.colouriser(TEST_IMAGES)
    calibration = colouriser.prepare()
    save_generator(run, colouriser, session.dataset)
    write_atomically(run.folder / LABELS, json.dumps(session.dataset.labels).encode())
    parameters = sum(parameter.numel() for parameter in colouriser.network.parameters())
    cost = {
        "peak_memory_gb": session.engine.peak_memory() / 1e9,
        "generator_parameters": float(parameters),
        "generator_gflops": _gflops(colouriser, session.dataset.config.size),
        "images": float(images),
    }
    run.log(cost | calibration, images)
    if test:
        labelled = session.config.variant.generator.labels
        write_evaluation(run, evaluate(colouriser, session.dataset.split("test"), labelled, SAMPLE_IMAGES), images)
    tested = _test_under_conditions(session, colouriser) if test else []
    integrity.seal(run.folder, [CONFIG, GENERATOR, LABELS, *([PER_IMAGE, SAMPLES] if test else []), *tested])
    if session.config.watch.keep == "generator":
        checkpoint.remove_all(run.folder)  # before the run is marked finished: a finished run is never visited again
    run.finish()


def _test_under_conditions(session: Session, colouriser: Colouriser) -> list[str]:
    """Scores the test split on old films or with hints, if the settings ask for it; returns the names of the files written."""
    wanted = conditions.names(session.config.watch.conditions, colouriser.takes_hints)
    if not wanted:
        return []
    run, labelled = session.run, session.config.variant.generator.labels
    table = conditions.measure(colouriser, session.dataset.split("test"), wanted, session.engine.device, labelled)
    with replacing(run.folder / CONDITIONS) as file:
        table.to_parquet(file, index=False)
    means = table.groupby("condition")["delta_e"].mean()
    run.log({f"{CONDITION}{name}": float(value) for name, value in means.items()}, session.progress.images)
    return [CONDITIONS]


@torch.no_grad()
def _gflops(colouriser: Colouriser, size: int) -> float:
    """Returns the GFLOPs of colourising one image."""
    with CountFlops() as counter:
        colouriser(torch.zeros(1, 1, size, size, device=colouriser.engine.device))
    return float(counter.flops / 1e9)


def write_evaluation(run: Run, evaluation: Evaluation, images: int = 0) -> None:
    """Writes the per-image metrics of the test split and sample photographs, and logs the metrics' means."""
    with replacing(run.folder / PER_IMAGE) as file:
        evaluation.table.to_parquet(file, index=False)
    with replacing(run.folder / SAMPLES) as file:
        np.save(file, evaluation.samples)
    columns = [*MEASURED, DIVERSITY]
    finite = evaluation.table[columns].replace([np.inf, -np.inf], np.nan).mean()  # identical photographs have PSNR inf
    run.log({f"{TEST}{name}": float(value) for name, value in finite.items()}, images)

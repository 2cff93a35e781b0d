"""Finishes a trained run: saves its generator, its metrics on the test split, its cost, and the checksums of its files."""

import json

import numpy as np
import torch

from analysis.evaluation.splits import Evaluation
from analysis.metrics import conditions
from common.data.shards import Dataset
from common.loop import checkpoint
from common.loop.engine import is_first_rank
from common.system import integrity
from common.system.atomic import replacing, write_atomically
from common.system.costs import CountFlops
from common.system.names import CONDITIONS, CONFIG, GENERATOR, LABELS, PER_IMAGE, SAMPLES
from common.tracking.names import CONDITION, TEST
from common.tracking.run import Run
from studies.runs.configuration import RunConfig
from studies.runs.model import evaluate, load_run, save_generator
from studies.runs.session import Session
from variants.players.calibration import TEST_IMAGES
from variants.players.colouriser import Colouriser

SAMPLE_IMAGES = 64
SHOWN_IMAGES = 4  # in MLflow's UI
# the step of figures that a run has once: runs end at different images, and the UI draws bars where all have one step
AT_THE_END = 0


def finish(session: Session, test: bool) -> None:
    """Saves the generator for later use, scores the test split, logs the cost and ends the run; only the first rank does this."""
    if session.engine.rank:
        return
    run = session.run
    colouriser = session.variant.colouriser(TEST_IMAGES)
    calibration = colouriser.prepare()
    if calibration:
        calibration["calibration_batch"] = float(session.variant.calibration_batch)
    save_generator(run, colouriser, session.dataset)
    write_atomically(run.folder / LABELS, json.dumps(session.dataset.labels).encode())
    run.log(_cost(session, colouriser) | calibration, AT_THE_END)
    tested = _test(session, colouriser) if test else []
    integrity.seal(run.folder, [CONFIG, GENERATOR, LABELS, *tested])
    if session.config.watch.keep == "generator":
        # before the run is marked finished: a finished run is never visited again
        checkpoint.remove_all(run.folder)
    run.finish()


def _cost(session: Session, colouriser: Colouriser) -> dict[str, float]:
    parameters = sum(parameter.numel() for parameter in colouriser.network.parameters())
    return {
        "peak_memory_gb": session.engine.peak_memory() / 1e9,
        "generator_parameters": float(parameters),
        "generator_gflops": _gflops(colouriser, session.dataset.config.size),
        "images": float(session.progress.images),
    }


def _test(session: Session, colouriser: Colouriser) -> list[str]:
    """Scores the test split, under each condition of the settings too; returns the names of the files written."""
    run = session.run
    split = session.dataset.split("test")
    labelled = session.config.variant.generator.labels
    write_evaluation(run, evaluate(colouriser, split, labelled, SAMPLE_IMAGES))
    conditions = score_under_conditions(run, session.config, session.dataset, colouriser)
    return [PER_IMAGE, SAMPLES, *conditions]


def score_under_conditions(
    run: Run, config: RunConfig, dataset: Dataset, colouriser: Colouriser
) -> list[str]:
    """Scores the test split on old films or with hints, if the settings ask for it; returns the names of the files written."""
    wanted = conditions.names(config.watch.conditions, colouriser.takes_hints)
    if not wanted:
        return []
    labelled = config.variant.generator.labels
    table = conditions.measure(
        colouriser, dataset.split("test"), wanted, colouriser.engine.device, labelled
    )
    with replacing(run.folder / CONDITIONS) as file:
        table.to_parquet(file, index=False)
    means = table.groupby("condition")["delta_e"].mean()
    run.log({f"{CONDITION}{name}": float(value) for name, value in means.items()}, AT_THE_END)
    return [CONDITIONS]


def score_later(run: Run, config: RunConfig, dataset: Dataset) -> None:
    """Scores a finished run under conditions that its settings did not yet ask for when it was trained."""
    if not config.watch.conditions or (run.folder / CONDITIONS).is_file() or not is_first_rank():
        return
    colouriser, _ = load_run(run, config.engine.device)
    integrity.seal(run.folder, score_under_conditions(run, config, dataset, colouriser))
    run.flush()


@torch.no_grad()
def _gflops(colouriser: Colouriser, size: int) -> float:
    """Returns the GFLOPs of colourising one image."""
    with CountFlops() as counter:
        colouriser(torch.zeros(1, 1, size, size, device=colouriser.engine.device))
    return float(counter.flops / 1e9)


def write_evaluation(run: Run, evaluation: Evaluation) -> None:
    """Writes the per-image metrics of the test split and sample photographs; logs the metrics' means and some photographs.

    The samples are of the same photographs in every run, so that MLflow's UI shows the arms side by side.
    """
    with replacing(run.folder / PER_IMAGE) as file:
        evaluation.table.to_parquet(file, index=False)
    with replacing(run.folder / SAMPLES) as file:
        np.save(file, evaluation.samples)
    means = {f"{TEST}{name}": value for name, value in evaluation.means().items()}
    run.log(means, AT_THE_END)
    shown = evaluation.samples[:SHOWN_IMAGES]
    run.log_pictures({f"test photograph {n}": picture for n, picture in enumerate(shown, start=1)})

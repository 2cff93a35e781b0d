"""A colouriser on the test split: what a run, a baseline or another program's folder leaves for the report."""

import numpy as np
import torch

from analysis import evaluation
from analysis.evaluation import Evaluation
from analysis.results import PER_IMAGE, SAMPLES
from common.files import replacing
from common.shards import Dataset
from common.tracking import Run
from variants.colouriser import Colouriser

SAMPLE_IMAGES = 64


def write_test(
    run: Run,
    colourise: evaluation.Colouriser,
    dataset: Dataset,
    device: torch.device | str,
    images: int,
    labelled: bool = False,
) -> None:
    """Per-image metrics of the test split, sample photographs, and the metrics' means."""
    version = colourise.sample if isinstance(colourise, Colouriser) and colourise.is_noisy else None
    found = evaluation.evaluate(colourise, dataset.split("test"), device, SAMPLE_IMAGES, labelled, version)
    write_evaluation(run, found, images)


def write_evaluation(run: Run, found: Evaluation, images: int = 0) -> None:
    """The same of what was evaluated already."""
    with replacing(run.folder / PER_IMAGE) as file:
        found.table.to_parquet(file, index=False)
    with replacing(run.folder / SAMPLES) as file:
        np.save(file, found.samples)
    columns = [*evaluation.MEASURED, evaluation.DIVERSITY]
    finite = found.table[columns].replace([np.inf, -np.inf], np.nan).mean()  # identical photographs have PSNR inf
    run.log({f"test/{name}": float(value) for name, value in finite.items()}, images)

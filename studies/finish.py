"""What a trained run leaves: its generator, its figures on the test split, what it cost, and the checksums of all that."""

import json

import torch

from analysis.results import PER_IMAGE, SAMPLES
from common import checkpoint, kept
from common.files import write_atomically
from studies.estimate import CountFlops
from studies.scoring import write_test
from studies.session import Session
from studies.trained import CONFIG, GENERATOR, LABELS
from variants.calibration import TEST_IMAGES
from variants.colouriser import Colouriser


def finish(session: Session, test: bool) -> None:
    """Saves the generator as users get it, scores the test split, logs the cost and ends the run; one rank does."""
    if session.engine.rank:
        return
    run, images = session.run, session.progress.images
    colouriser = session.variant.colouriser(TEST_IMAGES)
    calibration = colouriser.prepare()
    domain = {"size": session.dataset.config.size, "classes": len(session.dataset.labels)}
    checkpoint.save_file(
        run.folder / GENERATOR, {**domain, "network": colouriser.state_dict(), "identity": run.tags["config_sha256"]}
    )
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
        write_test(run, colouriser, session.dataset, session.engine.device, images, session.config.variant.generator.labels)
    kept.seal(run.folder, [CONFIG, GENERATOR, LABELS, *([PER_IMAGE, SAMPLES] if test else [])])
    if session.config.watch.keep == "generator":
        checkpoint.remove_all(run.folder)  # before the end is marked: a finished run is never looked at again
    run.finish()


@torch.no_grad()
def _gflops(colouriser: Colouriser, size: int) -> float:
    """Of colourising one image."""
    with CountFlops() as counter:
        colouriser(torch.zeros(1, 1, size, size, device=colouriser.engine.device))
    return float(counter.flops / 1e9)

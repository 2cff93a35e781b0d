"""A run's trained generator: saved as safetensors, which contain no code, and loaded to colourise."""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from analysis import evaluation
from analysis.evaluation import Evaluation
from common.config import as_json, parse
from common.data.domain import Domain
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError, did_you_mean, first_line
from common.files import integrity
from common.files.atomic import write_atomically
from common.files.names import CONFIG, GENERATOR, LABELS
from common.loop.engine import Engine, EngineConfig
from common.tracking import Run
from studies.runs.configuration import RunConfig
from studies.runs.resume import engine_of
from variants.players.colouriser import Colouriser
from variants.players.generator import trained_colouriser

RETRAIN = "add --retrain to the `colourbench train` or `colourbench compare` that made it, to train it again"


def load_run(run: Run, device: str = "auto") -> tuple[Colouriser, RunConfig]:
    """Returns a finished run's trained generator, ready to colourise, and the settings it was trained with.

    Raises:
        ColourbenchError: the run has no trained generator.
    """
    path = run.folder / GENERATOR
    if run.status == "FINISHED" and not path.is_file():
        raise integrity.Damaged(f"{path} is missing; {RETRAIN}")
    if not path.is_file():
        raise ColourbenchError(
            f"the run {run.name} has no trained generator (its status is {run.status}); train it to the end first"
        )
    config = read_config(run)
    engine = _engine(run, parse(EngineConfig, as_json(config.engine) | {"device": device}, "--device"))
    about, weights = _read(integrity.intact(path, RETRAIN))
    try:
        domain = Domain(int(about["size"]), int(about["classes"]))
        return trained_colouriser(config.variant, engine, domain, weights), config
    except (RuntimeError, KeyError, ValueError):  # what torch raises for weights of another shape, or for none
        raise integrity.Damaged(f"{path} holds another network than {CONFIG} beside it describes; {RETRAIN}") from None


def save_generator(run: Run, colouriser: Colouriser, dataset: Dataset) -> None:
    """Writes the generator, with the batch statistics that it colourises with and what it needs to know about its data set.

    Raises:
        ColourbenchError: a weight is NaN or infinite, the disk is full, or the folder is read-only.
    """
    weights = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in colouriser.state_dict().items()
    }
    if wrong := next((name for name, weight in weights.items() if _is_broken(weight)), ""):
        raise ColourbenchError(
            f"the last update left NaN or infinity in {wrong}; try a lower learning rate, or engine.precision=32"
        )
    about = {"size": dataset.config.size, "classes": len(dataset.labels), "config_sha256": run.tags["config_sha256"]}
    try:
        write_atomically(run.folder / GENERATOR, safetensors.torch.save(weights, {key: str(value) for key, value in about.items()}))
    except OSError as error:
        raise ColourbenchError(
            f"cannot save the generator in {run.folder}: {error.strerror}; free some space and run the same command"
        ) from None


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Returns what a generator's file says about its data set, and the weights."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            about, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise integrity.Damaged(f"{path} is no whole file of weights: {first_line(error)}; {RETRAIN}") from None
    for name, weight in weights.items():
        if _is_broken(weight):
            raise integrity.Damaged(f"{path} is damaged: {name} holds NaN or infinity; {RETRAIN}")
    return about, weights


def _is_broken(weight: Tensor) -> bool:
    return weight.is_floating_point() and not bool(torch.isfinite(weight).all())


def _engine(run: Run, config: EngineConfig) -> Engine:
    """Returns the engine that the run was trained with, so that it is evaluated alike, or else this machine's own."""
    try:
        return engine_of(config, run)
    except ColourbenchError:
        return Engine(config)


def label_number(run: Run, config: RunConfig, label: str) -> int:
    """Returns the number of a label of the data set that a run was trained on.

    Raises:
        ColourbenchError: the run was trained without labels, or there is no such label.
    """
    if not config.variant.generator.labels:
        raise ColourbenchError(f"the run {run.name} was trained without labels; train one with variant.generator.labels=true")
    labels = integrity.read_json(run.folder / LABELS, RETRAIN, list)
    if label not in labels:
        raise ColourbenchError(f"there is no label {label!r}{did_you_mean(label, labels)}; the run knows {', '.join(labels)}")
    return int(labels.index(label))


def read_config(run: Run) -> RunConfig:
    """Reads the settings that a run was trained with."""
    path = run.folder / CONFIG
    if not path.is_file():
        raise ColourbenchError(f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?")
    return parse(RunConfig, integrity.read_json(path, RETRAIN), str(path))


def evaluate(colouriser: Colouriser, split: Split, labelled: bool, samples: int = 0) -> Evaluation:
    """Measures all metrics of a split's images and, if the generator has noise, how far several versions of one image differ.

    Args:
        labelled: whether the generator is given the images' labels.
        samples: how many of the coloured photographs are kept.
    """
    version = colouriser.sample if colouriser.is_noisy else None
    return evaluation.evaluate(colouriser, split, colouriser.engine.device, samples, labelled, version)

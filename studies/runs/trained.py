"""A run's trained generator: saved as safetensors, which contain no code, and loaded to colourise."""

from pathlib import Path

from analysis import evaluation
from analysis.evaluation import Evaluation
from common.config import as_json, parse
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError
from common.files import integrity
from common.files.names import CONFIG, GENERATOR, LABELS
from common.loop.engine import Engine, EngineConfig
from common.tracking import Run
from studies.runs import model_file
from studies.runs.configuration import RunConfig
from studies.runs.model_file import ModelFile
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
    file = model_file.read(path, RETRAIN)
    return colouriser_of(file, config, engine, f"{path} holds another network than {CONFIG} beside it describes; {RETRAIN}"), config


def load_file(path: Path, device: str = "auto") -> tuple[Colouriser, RunConfig, list[str]]:
    """Returns the generator of a model file, ready to colourise, the settings it was trained with, and its labels.

    Raises:
        ColourbenchError: it is no model file of this suite, or it is damaged.
    """
    file = model_file.read(path, "write it again with `colourbench export`")
    config = file.config
    engine = Engine(parse(EngineConfig, as_json(config.engine) | {"device": device, "precision": "32"}, "--device"))
    return colouriser_of(file, config, engine, f"{path} holds another network than its own settings describe"), config, file.labels


def colouriser_of(file: ModelFile, config: RunConfig, engine: Engine, contradiction: str) -> Colouriser:
    """Builds the generator that the settings describe with the file's weights.

    Raises:
        Damaged: these weights do not fit; the message is `contradiction`.
    """
    try:
        return trained_colouriser(config.variant, engine, file.domain, file.generator)
    except (RuntimeError, KeyError, ValueError):  # what torch raises for weights of another shape, or for none
        raise integrity.Damaged(contradiction) from None


def save_generator(run: Run, colouriser: Colouriser, dataset: Dataset) -> None:
    """Writes the generator, with the batch statistics that it colourises with and what it needs to know about its data set.

    Raises:
        ColourbenchError: a weight is NaN or infinite, the disk is full, or the folder is read-only.
    """
    path = run.folder / GENERATOR
    model_file.write(
        path,
        colouriser.state_dict(),
        read_config(run),
        dataset.config.size,
        dataset.labels,
        config_sha256=run.tags["config_sha256"],
    )


def _engine(run: Run, config: EngineConfig) -> Engine:
    """Returns the engine that the run was trained with, so that it is evaluated alike, or else this machine's own."""
    try:
        return engine_of(config, run)
    except ColourbenchError:
        return Engine(config)


def labels_of(run: Run) -> list[str]:
    """Returns the labels of the data set that a run was trained on."""
    return list(integrity.read_json(run.folder / LABELS, RETRAIN, list))


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

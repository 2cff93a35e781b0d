"""A trained model: one safetensors file, which contains no code, and the colouriser that it becomes.

The file holds weights, and in its header all that is needed to use them: settings, image size and labels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from analysis.evaluation import splits
from analysis.evaluation.splits import Evaluation
from common.config import as_json, parse
from common.data.domain import Domain
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError, first_line
from common.loop.engine import Engine, EngineConfig
from common.system import integrity
from common.system.atomic import write_atomically
from common.system.names import CONFIG, GENERATOR, LABELS
from common.tracking import Run
from studies.runs.configuration import RunConfig
from studies.runs.machine import engine_of
from variants.players.colouriser import Colouriser
from variants.players.generator import generator_network

RETRAIN = "add --retrain to the `colourbench train` or `colourbench compare` that made it, to train it again"
CRITIC = "critic."  # prefix of the critic's weights, where the file has them
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ModelFile:
    """A file's content: the generator's weights, the critic's (empty if it was not kept), and the header."""

    path: Path
    generator: dict[str, Tensor]
    critic: dict[str, Tensor]
    about: dict[str, str]

    @property
    def domain(self) -> Domain:
        """The side of the training images and the number of labels.

        Raises:
            KeyError, ValueError: the header does not say.
        """
        return Domain(int(self.about["size"]), int(self.about["classes"]))

    @cached_property
    def config(self) -> RunConfig:
        """The settings of the run that trained it.

        Raises:
            ColourbenchError: the header has none, or they are invalid.
        """
        try:
            settings = json.loads(self.about["config"])
        except (KeyError, ValueError, RecursionError):
            raise ColourbenchError(
                f"{self.path} does not contain its settings; write it with `colourbench export RUN`"
            ) from None
        return parse(RunConfig, settings, f"the settings in {self.path}")

    @cached_property
    def labels(self) -> list[str]:
        """The labels that the generator knows, in the order of their numbers."""
        try:
            labels = json.loads(self.about.get("labels", "[]"))
        except (ValueError, RecursionError):
            labels = []
        return [str(label) for label in labels] if isinstance(labels, list) else []


def write_model(
    path: Path,
    generator: Mapping[str, Tensor],
    config: RunConfig,
    size: int,
    labels: Sequence[str],
    critic: Mapping[str, Tensor] | None = None,
    **about: str,
) -> None:
    """Writes a model file.

    Raises:
        ColourbenchError: a weight is NaN or infinite, the disk is full, or the folder is read-only.
    """
    named = dict(generator) | {f"{CRITIC}{name}": weight for name, weight in (critic or {}).items()}
    weights = {
        name: weight.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, weight in named.items()
    }
    if wrong := next((name for name, weight in weights.items() if is_broken(weight)), ""):
        raise ColourbenchError(
            f"the last update left NaN or infinity in {wrong}; try a lower learning rate, or engine.precision=32"
        )
    header = {
        "size": str(size),
        "classes": str(len(labels)),
        "labels": json.dumps(list(labels)),
        **about,
    }
    header["config"] = json.dumps(as_json(config), ensure_ascii=True)
    try:
        write_atomically(path, safetensors.torch.save(weights, header))
    except OSError as error:
        raise ColourbenchError(
            f"cannot save the generator in {path.parent}: {error.strerror}; free some space and run the same command"
        ) from None


def read_model(path: Path, remedy: str) -> ModelFile:
    """Reads a model file.

    Raises:
        Damaged: it is missing, changed or broken; the message ends with the remedy.
    """
    integrity.intact(path, remedy)
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise integrity.Damaged(
            f"{path} is no whole file of weights: {first_line(error)}; {remedy}"
        ) from None
    for name, weight in weights.items():
        if is_broken(weight):
            raise integrity.Damaged(f"{path} is damaged: {name} holds NaN or infinity; {remedy}")
    critic = {
        name.removeprefix(CRITIC): weight
        for name, weight in weights.items()
        if name.startswith(CRITIC)
    }
    generator = {name: w for name, w in weights.items() if not name.startswith(CRITIC)}
    return ModelFile(path, generator, critic, about)


def is_broken(weight: Tensor) -> bool:
    """Whether a weight holds NaN or infinity."""
    return weight.is_floating_point() and not bool(torch.isfinite(weight).all())


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
    settings = parse(EngineConfig, as_json(config.engine) | {"device": device}, "--device")
    contradiction = f"{path} holds another network than {CONFIG} beside it describes; {RETRAIN}"
    file = read_model(path, RETRAIN)
    return colouriser_of(file, config, _engine(run, settings), contradiction), config


def load_file(path: Path, device: str = "auto") -> tuple[Colouriser, RunConfig, list[str]]:
    """Returns the generator of a model file, ready to colourise, the settings it was trained with, and its labels.

    Raises:
        ColourbenchError: it is no model file of this suite, or it is damaged.
    """
    file = read_model(path, "write it again with `colourbench export`")
    config = file.config
    exact = {"device": device, "precision": "32"}
    engine = Engine(parse(EngineConfig, as_json(config.engine) | exact, "--device"))
    contradiction = f"{path} holds another network than its own settings describe"
    return colouriser_of(file, config, engine, contradiction), config, file.labels


def colouriser_of(
    file: ModelFile, config: RunConfig, engine: Engine, contradiction: str
) -> Colouriser:
    """Builds the generator that the settings describe with the file's weights.

    Raises:
        Damaged: these weights do not fit; the message is `contradiction`.
    """
    try:
        variant = config.variant
        network = generator_network(
            variant.generator, variant.reconstruction, file.domain, is_trained=True
        )
        network.load_state_dict(file.generator)
    # what torch raises for weights of another shape, or for none
    except (RuntimeError, KeyError, ValueError):
        raise integrity.Damaged(contradiction) from None
    network = network.to(engine.device)
    network = network.to(memory_format=torch.channels_last)
    return Colouriser(network, engine, file.domain.size, variant.test_time)


def save_generator(run: Run, colouriser: Colouriser, dataset: Dataset) -> None:
    """Writes the generator, with the batch statistics that it colourises with and what it needs to know about its data set.

    Raises:
        ColourbenchError: a weight is NaN or infinite, the disk is full, or the folder is read-only.
    """
    path = run.folder / GENERATOR
    write_model(
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
        raise ColourbenchError(
            f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?"
        )
    return parse(RunConfig, integrity.read_json(path, RETRAIN), str(path))


def evaluate(colouriser: Colouriser, split: Split, labelled: bool, samples: int = 0) -> Evaluation:
    """Measures all metrics of a split's images and, if the generator has noise, how far several versions of one image differ.

    Args:
        labelled: whether the generator is given the images' labels.
        samples: how many of the coloured photographs are kept.
    """
    version = colouriser.sample if colouriser.is_noisy else None
    return splits.evaluate(colouriser, split, colouriser.engine.device, samples, labelled, version)

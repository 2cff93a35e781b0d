"""A trained model as one safetensors file, which contains no code: weights, and in its header all that is needed to use them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from common.config import as_json, parse
from common.data.domain import Domain
from common.errors import ColourbenchError, first_line
from common.files import integrity
from common.files.atomic import write_atomically
from studies.runs.configuration import RunConfig

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
            raise ColourbenchError(f"{self.path} does not contain its settings; write it with `colourbench export RUN`") from None
        return parse(RunConfig, settings, f"the settings in {self.path}")

    @cached_property
    def labels(self) -> list[str]:
        """The labels that the generator knows, in the order of their numbers."""
        try:
            labels = json.loads(self.about.get("labels", "[]"))
        except (ValueError, RecursionError):
            labels = []
        return [str(label) for label in labels] if isinstance(labels, list) else []


def write(
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
    weights = {name: weight.detach().cpu().clone(memory_format=torch.contiguous_format) for name, weight in named.items()}
    if wrong := next((name for name, weight in weights.items() if is_broken(weight)), ""):
        raise ColourbenchError(
            f"the last update left NaN or infinity in {wrong}; try a lower learning rate, or engine.precision=32"
        )
    header = {"size": str(size), "classes": str(len(labels)), "labels": json.dumps(list(labels)), **about}
    header["config"] = json.dumps(as_json(config), ensure_ascii=True)
    try:
        write_atomically(path, safetensors.torch.save(weights, header))
    except OSError as error:
        raise ColourbenchError(
            f"cannot save the generator in {path.parent}: {error.strerror}; free some space and run the same command"
        ) from None


def read(path: Path, remedy: str) -> ModelFile:
    """Reads a model file.

    Raises:
        Damaged: it is missing, changed or broken; the message ends with the remedy.
    """
    integrity.intact(path, remedy)
    try:
        with safetensors.safe_open(path, "pt") as file:
            about, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise integrity.Damaged(f"{path} is no whole file of weights: {first_line(error)}; {remedy}") from None
    for name, weight in weights.items():
        if is_broken(weight):
            raise integrity.Damaged(f"{path} is damaged: {name} holds NaN or infinity; {remedy}")
    critic = {name.removeprefix(CRITIC): weight for name, weight in weights.items() if name.startswith(CRITIC)}
    return ModelFile(path, {name: w for name, w in weights.items() if not name.startswith(CRITIC)}, critic, about)


def is_broken(weight: Tensor) -> bool:
    """Whether a weight holds NaN or infinity."""
    return weight.is_floating_point() and not bool(torch.isfinite(weight).all())

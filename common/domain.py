"""What a training method must know of its photographs before it sees them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from common import lab
from common.shards import Dataset

SAMPLE_IMAGES = 256


def _nothing() -> Tensor:
    raise LookupError("this domain has no photographs")


@dataclass(frozen=True)
class Domain:
    """The side in pixels, the number of labels (0: none), and a sample of the training split's ab as networks see it."""

    size: int
    classes: int = 0
    sample_ab: Callable[[], Float[Tensor, "b 2 h w"]] = _nothing


def domain_of(dataset: Dataset) -> Domain:
    """The domain of a prepared data set; its colours are read only when they are asked for."""
    train = dataset.split("train")

    def sample_ab() -> Tensor:
        places = np.linspace(0, len(train) - 1, num=min(SAMPLE_IMAGES, len(train))).astype(int)
        pixels = torch.from_numpy(np.ascontiguousarray(train.centres(places))).permute(0, 3, 1, 2)
        return lab.to_network(pixels)[1]

    return Domain(dataset.config.size, len(dataset.labels), sample_ab)

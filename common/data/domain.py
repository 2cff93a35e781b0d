"""What a training method must know of its photographs before it sees them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from common.colour import lab
from common.data.batches import Batch, BatchConfig, Batches
from common.data.shards import Dataset

SAMPLE_IMAGES = 256  # whose pixels give the prior of colours; Zhang et al. 2016 take all of ImageNet's


def _nothing() -> Tensor:
    raise LookupError("this domain has no photographs")


@dataclass(frozen=True)
class Domain:
    """The side in pixels, the number of labels (0: none), and where they are at hand the photographs themselves.

    `sample_ab` is a sample of the training split's ab as networks see it. `stream` gives the images that training sees, from the
    first on, the same at each call, in batches of a size; None where there are none. `images` is how many there are.
    """

    size: int
    classes: int = 0
    sample_ab: Callable[[], Float[Tensor, "b 2 h w"]] = _nothing
    stream: Callable[[int], Iterator[Batch]] | None = None
    images: int | None = None


def domain_of(dataset: Dataset, batches: BatchConfig | None = None, seed: int = 0) -> Domain:
    """The domain of a prepared data set, its images drawn as a run draws them; they are read only when they are asked for."""
    train, drawn = dataset.split("train"), batches or BatchConfig()

    def sample_ab() -> Tensor:
        return lab.to_network(train.photographs(train.spread(SAMPLE_IMAGES)))[1]

    def stream(size: int) -> Iterator[Batch]:
        return Batches(train, drawn.model_copy(update={"size": size}), seed)

    return Domain(dataset.config.size, len(dataset.labels), sample_ab, stream, len(train))

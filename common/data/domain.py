"""What a training method needs to know about its photographs before training starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from common.colour import lab
from common.data.batches import Batch, BatchConfig, Batches
from common.data.shards import Dataset

# their pixels give the prior over colours; Zhang et al. 2016 use all of ImageNet's
SAMPLE_IMAGES = 256


def _nothing() -> Tensor:
    raise LookupError("this domain has no photographs")


@dataclass(frozen=True)
class Domain:
    """The side in pixels, the number of labels (0: none), and the photographs themselves where they are available.

    `sample_ab` returns ab (b, 2, h, w) of some training photographs, in the networks' scale. `stream` takes a batch size and
    yields the training images from the first on, the same at each call; None without photographs. `images` is their number.
    `batch` is the number of images in a training batch, over all ranks.
    """

    size: int
    classes: int = 0
    sample_ab: Callable[[], Float[Tensor, "b 2 h w"]] = _nothing
    stream: Callable[[int], Iterator[Batch]] | None = None
    images: int | None = None
    batch: int = BatchConfig().size


def domain_of(dataset: Dataset, batches: BatchConfig | None = None, seed: int = 0) -> Domain:
    """The domain of a prepared data set; its images are drawn as a run draws them, and read only when they are needed."""
    train = dataset.split("train")
    drawn = batches or BatchConfig()

    def sample_ab() -> Tensor:
        return lab.to_network(train.photographs(train.spread(SAMPLE_IMAGES)))[1]

    def stream(size: int) -> Iterator[Batch]:
        return Batches(train, drawn.model_copy(update={"size": size}), seed)

    return Domain(
        size=dataset.config.size,
        classes=len(dataset.labels),
        sample_ab=sample_ab,
        stream=stream,
        images=len(train),
        batch=drawn.size,
    )

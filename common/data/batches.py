"""An endless, seeded, resumable stream of batches that counts the images it has handed out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor

from common.colour import film, hints, lab
from common.colour.film import FilmConfig
from common.config import Settings
from common.data.shards import Split
from common.errors import ColourbenchError
from common.fast import switch
from common.fast.compiled import kernel

SUBSET = 2**32 - 1  # seeds the draw of a subset, apart from those of the epochs
SHOT = 1  # seeds an image's film, apart from the crops of its epoch


class BatchConfig(Settings):
    """How training images are drawn."""

    size: int = Field(default=16, ge=1, le=4096)
    """Images in a batch, counted over all devices."""
    flip: bool = True
    """Mirror each image with probability 1/2."""
    crop: bool = True
    """Crop at a random position within the stored margin; `false` crops the centre."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Fraction of the training images used: a random subset that depends on the seed; a larger one contains every smaller one."""
    film: FilmConfig = FilmConfig()
    """The film that the training images are taken on."""


@dataclass(frozen=True)
class Batch:
    """Photographs as networks see them: L (B, 1, H, W) and ab (B, 2, H, W) in about [-1, 1], labels (B,), -1 for none.

    `hints` are those that the generator is given, None for a generator that takes none.
    """

    L: Float[Tensor, "b 1 h w"]
    ab: Float[Tensor, "b 2 h w"]
    label: Int[Tensor, " b"]
    hints: Float[Tensor, "b 3 h w"] | None = None

    @property
    def seen(self) -> Float[Tensor, "b c h w"]:
        """What the generator sees: L, and the hints if it is given any."""
        return self.L if self.hints is None else hints.seen(self.L, self.hints, 1 + hints.CHANNELS)

    def __len__(self) -> int:
        return len(self.L)

    def parts(self, count: int) -> list["Batch"]:
        """The batch cut into `count` equal parts."""
        if count == 1:
            return [self]
        pieces = (tensor.chunk(count) for tensor in (self.L, self.ab, self.label))
        hinted = [None] * count if self.hints is None else self.hints.chunk(count)
        return [Batch(*piece) for piece in zip(*pieces, hinted, strict=True)]


@dataclass(frozen=True)
class _Epoch:
    """Every random decision of one pass over the images, from (seed, epoch) alone."""

    order: Int[np.ndarray, " n"]
    top: Int[np.ndarray, " n"]
    left: Int[np.ndarray, " n"]
    flip: Int[np.ndarray, " n"]


class Batches(Iterator[Batch]):
    """Endless batches of a split; image number k is the same whatever the batch size, the rank or a restart.

    Each rank gets its slice of every batch; `images` counts over all ranks.
    """

    def __init__(
        self,
        split: Split,
        config: BatchConfig,
        seed: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if len(split) == 0:
            raise ColourbenchError(f"the data set {split.dataset.name} has no images in this split")
        if config.size % ranks:
            raise ColourbenchError(
                f"batch.size {config.size} does not divide among {ranks} devices"
            )
        self.images = 0
        self._split = split
        self._config = config
        self._seed = seed
        self._device = torch.device(device)
        self._rank = rank
        self._ranks = ranks
        self._labels = split.labels()
        used = max(1, round(config.share * len(split)))
        self._used = np.sort(np.random.default_rng([seed, SUBSET]).permutation(len(split))[:used])
        self._epoch = lru_cache(maxsize=2)(self._shuffle)

    def __next__(self) -> Batch:
        share = self._config.size // self._ranks
        first = self.images + self._rank * share
        self.images += self._config.size
        places = np.arange(first, first + share)
        rgb = np.stack([self._crop(int(place)) for place in places])  # (b, s, s, 3)
        for image, place in zip(rgb, places, strict=True):
            if self._is_mirrored(int(place)):
                mirror(image) if switch.is_on() else np.copyto(image, image[:, ::-1].copy())
        labels = self._labels[[self._position(int(place)) for place in places]]
        # (b, 3, s, s)
        pixels = torch.from_numpy(rgb).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        L, ab = lab.to_network(pixels)
        if self._config.film.is_on:
            L = film.expose(pixels, [self._shot(int(place)) for place in places])
        return Batch(L, ab, torch.from_numpy(labels).to(self._device))

    def state_dict(self) -> dict[str, int]:
        """The whole state: the seed and the number of images handed out."""
        return {"seed": self._seed, "images": self.images}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues from where `state` was taken.

        Raises:
            ColourbenchError: the state belongs to another seed.
        """
        if state["seed"] != self._seed:
            raise ColourbenchError(
                f"the checkpoint's stream has seed {state['seed']}, this run has {self._seed}"
            )
        self.images = state["images"]

    def _position(self, place: int) -> int:
        draws, position = self._draws(place)
        return int(draws.order[position])

    def _is_mirrored(self, place: int) -> bool:
        draws, position = self._draws(place)
        return bool(draws.flip[position])

    def _shot(self, place: int) -> film.Shot:
        epoch, position = divmod(place, len(self._used))
        return film.draw_shot(
            self._config.film, np.random.default_rng([self._seed, epoch, position, SHOT])
        )

    def _crop(self, place: int) -> UInt8[np.ndarray, "s s 3"]:
        draws, position = self._draws(place)
        size = self._split.dataset.config.size
        top = draws.top[position]
        left = draws.left[position]
        return self._split.image(int(draws.order[position]))[top : top + size, left : left + size]

    def _draws(self, place: int) -> tuple[_Epoch, int]:
        """The random decisions of the epoch at a place in the stream, and the image's position in them."""
        epoch, position = divmod(place, len(self._used))
        return self._epoch(epoch), position

    def _shuffle(self, epoch: int) -> _Epoch:
        n = len(self._used)
        margin = self._split.dataset.config.margin
        draw = np.random.default_rng([self._seed, epoch])
        order = self._used[draw.permutation(n)]
        top, left = draw.integers(0, margin + 1, size=(2, n))
        flip = draw.integers(0, 2, size=n)
        if not self._config.crop:
            top = left = np.full(n, margin // 2)
        return _Epoch(order, top, left, flip if self._config.flip else np.zeros(n, dtype=np.int64))


@kernel
def mirror(image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Mirrors an image in place; numpy takes six times as long to copy pixels backwards (`colourbench bench parts`)."""
    last = image.shape[1] - 1
    for y in range(image.shape[0]):
        for x in range((last + 1) // 2):
            for c in range(3):
                image[y, x, c], image[y, last - x, c] = image[y, last - x, c], image[y, x, c]

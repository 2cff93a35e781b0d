"""The pictures of a human study: truth and arms through one and the same path, so that nothing but colour tells them apart."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from analysis.people.design import RANDOM, TRUTH, Trial
from common.system import integrity
from common.system.atomic import replacing

SMALLEST = 256
# pixels: smaller photographs are enlarged, larger ones reduced, all in the same way
LARGEST = 512
GAP = 16
Photographs = UInt8[np.ndarray, "n h w 3"]
Photograph = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Material:
    """The photographs of a study: names, truth, and what every arm's seeds made of them, in the same order."""

    study: str
    names: list[str]
    truth: Photographs
    arms: dict[str, dict[int, Photographs]]
    fixed: tuple[str, ...] = ()  # arms without seeds: other programs, baselines
    # of each arm and seed, the id of the run whose photographs these are
    runs: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def seeds(self) -> dict[str, list[int]]:
        """The seeds of every arm."""
        return {arm: list(by_seed) for arm, by_seed in self.arms.items()}


class Pictures:
    """What trials show. All versions of all photographs are kept as pixels, so that serving one takes the same time as another."""

    def __init__(self, names: list[str], versions: Mapping[str, Photographs]) -> None:
        self._position = {name: position for position, name in enumerate(names)}
        self._versions = versions

    @classmethod
    def of(cls, material: Material, seed: int) -> "Pictures":
        """The pictures of a study; `seed` draws the random colours of the vigilance trials."""
        arms = {
            _version(arm, one): made
            for arm, by_seed in material.arms.items()
            for one, made in by_seed.items()
        }
        random = np.stack(
            [
                _random_colours(material.truth, position, seed)
                for position in range(len(material.names))
            ]
        )
        return cls(material.names, {TRUTH: material.truth, RANDOM: random, **arms})

    @classmethod
    def load(cls, path: Path, names: list[str]) -> "Pictures":
        """Reads the pictures that `save` wrote.

        Raises:
            Damaged: the file is missing or was changed.
        """
        integrity.intact(
            path,
            "put a copy of it back, or begin a new study with --out: a study of an earlier version has sheets only",
        )
        with np.load(path, allow_pickle=False) as file:
            return cls(names, {name: file[name] for name in file.files})

    def save(self, path: Path) -> None:
        """Writes all versions to one file."""
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **dict(self._versions))

    def version(self, image: str, arm: str, seed: int | None) -> Photograph:
        """One photograph as an arm's seed coloured it, or in its own or in random colours, at the size it is shown at."""
        return _at_shown_size(self._versions[_version(arm, seed)][self._position[image]])

    def png(self, trial: Trial) -> bytes:
        """One PNG per trial. Two photographs are a single picture, so that no file size or name reveals which half is which."""
        left = self.version(trial.image, trial.arm, trial.seed)
        if trial.side:
            other = self.version(trial.image, trial.other or TRUTH, trial.other_seed)
            # `side` is the truth's in a pair, and the arm's in a preference
            halves = (left, other) if (trial.side == "left") == bool(trial.other) else (other, left)
            gap = np.full((left.shape[0], GAP, 3), 255, dtype=np.uint8)
            left = np.concatenate([halves[0], gap, halves[1]], axis=1)
        return encoded(left)


def encoded(pixels: Photograph) -> bytes:
    """A PNG without compression or metadata: equal dimensions give equal size, so it reveals nothing."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()


def _version(arm: str, seed: int | None) -> str:
    return arm if arm in (TRUTH, RANDOM) else f"{arm}@{seed or 0}"


def _random_colours(truth: Photographs, position: int, seed: int) -> Photograph:
    """The photograph's L with the colours of another photograph, turned upside down (Zhang et al. 2016, "random")."""
    import torch

    from common.colour import lab

    draw = np.random.default_rng([seed, position])
    other = (
        (position + 1 + int(draw.integers(len(truth) - 1))) % len(truth)
        if len(truth) > 1
        else position
    )
    pair = torch.from_numpy(truth[[position, other]]).permute(0, 3, 1, 2)
    L, ab = lab.to_network(pair)
    mixed = lab.to_photographs(L[:1], ab[1:].flip(2, 3))
    return np.ascontiguousarray(mixed[0].permute(1, 2, 0).numpy())


def _at_shown_size(photograph: Photograph) -> Photograph:
    image = Image.fromarray(photograph)
    scale = (
        max(1.0, SMALLEST / max(image.size))
        if max(image.size) <= LARGEST
        else LARGEST / max(image.size)
    )
    return np.asarray(
        image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
        )
    )

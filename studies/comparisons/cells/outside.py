"""Other programs in a study: writes the test images for them, and matches their results with the test images by name.

Every test image must have exactly one result: a score over the easy half would be meaningless. `remarks` says what had
to be changed or looks wrong.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from analysis.evaluation.splits import BATCH, colourised
from analysis.evaluation.splits import grey as grey_ab
from common.colour import lab
from common.config import sha256
from common.data.decoding.images import SUFFIXES, BadImage, decode
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError
from common.system.integrity import file_sha256
from common.system.text import as_text, from_text, some_of

# mean |ΔL|, in units of L, that compression and another program's rounding may cause
TOLERANCE = 3.0


@dataclass
class Outside:
    """A folder's results in the order of a split; `resized` and `other_L` are known once `batches` has been read."""

    folder: Path
    split: Split
    files: list[Path]
    superfluous: list[str]
    resized: list[str] = field(default_factory=list)
    other_L: list[str] = field(default_factory=list)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all files, their names and their contents."""
        return sha256(
            [
                [as_text(str(file.relative_to(self.folder))), file_sha256(file)]
                for file in self.files
            ]
        )

    @property
    def remarks(self) -> list[str]:
        """What a reader must know about these results."""
        size = self.split.dataset.config.size
        groups = {
            "matching no test image, ignored": self.superfluous,
            f"of another size, resized to {size} px": self.resized,
            f"with another L, by more than {TOLERANCE:g} on average (another crop?), coloured on the true L": self.other_L,
        }
        return [
            f"{self.folder.name}: {len(names)} file{'s' * (len(names) != 1)} {what}: {some_of(names)}"
            for what, names in groups.items()
            if names
        ]

    def batches(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor, Tensor]]:
        """Yields, as `splits.colourised`: input, coloured, truth; the coloured ab are joined with the photograph's own L.

        Raises:
            ColourbenchError: a result cannot be decoded, or is not square.
        """
        self.resized = []
        self.other_L = []
        for start in range(0, len(self.files), BATCH):
            files = self.files[start : start + BATCH]
            true = self.split.photographs(np.arange(start, start + len(files)))
            theirs = torch.cat([_tensor(self._read(file)[None]) for file in files])
            (L, ab), (their_L, their_ab) = lab.to_network(true), lab.to_network(theirs)
            self._compare(files, L, their_L)
            yield (L,), lab.to_photographs(L, their_ab), lab.to_photographs(L, ab)

    def _read(self, file: Path) -> np.ndarray:
        size = self.split.dataset.config.size
        try:
            rgb = decode(file).rgb
        except BadImage as error:
            raise ColourbenchError(f"{file}: {error}") from None
        height, width = rgb.shape[:2]
        if (height, width) == (size, size):
            return rgb
        if height != width:
            raise ColourbenchError(
                f"{file} has {width}x{height} pixels; the test images are squares of {size} px (`colourbench data export`)"
            )
        self.resized.append(file.name)
        return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.LANCZOS))

    def _compare(self, files: list[Path], L: Tensor, their_L: Tensor) -> None:
        change = (L - their_L).abs().mean(dim=(1, 2, 3)) * lab.L_CENTRE
        self.other_L += [
            file.name
            for file, distance in zip(files, change.tolist(), strict=True)
            if distance > TOLERANCE
        ]


def read(folder: Path, split: Split) -> Outside:
    """Matches a folder's files with the images of a split by the photograph's path without its extension, with `/` or `__`.

    Raises:
        ColourbenchError: the folder does not exist, a result is missing, or one image has several.
    """
    if not folder.is_dir():
        raise ColourbenchError(f"there is no folder {folder}")
    files_by_name = _files_by_name(folder)
    wanted = names(split)
    if missing := [name for name in wanted if name not in files_by_name]:
        raise ColourbenchError(
            f"{folder} has no result for {len(missing)} of {len(wanted)} test images: {some_of(missing)}; "
            f"`colourbench data export {split.dataset.name} --out DIR` writes what is to be coloured, under these names"
        )
    if twice := [name for name in wanted if len(files_by_name[name]) > 1]:
        raise ColourbenchError(
            f"{folder} has several results for one test image: {some_of(twice)}; keep one of each"
        )
    files = [files_by_name[name][0] for name in wanted]
    others = files_by_name.keys() - set(wanted)
    superfluous = sorted(str(file) for name in others for file in files_by_name[name])
    return Outside(folder, split, files, superfluous)


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    files_by_name: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file():
            name = _key(as_text(str(file.relative_to(folder))))
            files_by_name.setdefault(name, []).append(file)
    return files_by_name


def names(split: Split) -> list[str]:
    """Returns the file name of each image's result, without an extension: `scenes__lake`, or `scenes__lake-2` for a tile.

    Where two photographs differ only in their extension, the extension is part of the name: `lake.jpg`.
    """
    entries = split.entries()
    several = split.dataset.config.tile is not None
    tails = [f"-{entry.tile}" if several else "" for entry in entries]
    short = [_key(entry.photograph) + tail for entry, tail in zip(entries, tails, strict=True)]
    times = Counter(short)
    long = [
        entry.photograph.replace("/", "__") + tail
        for entry, tail in zip(entries, tails, strict=True)
    ]
    return [stem if times[stem] == 1 else full for stem, full in zip(short, long, strict=True)]


def export(dataset: Dataset, split: str, out: Path, grey: bool = True) -> int:
    """Writes each image as a PNG file, named as a study's `images: DIR` expects the results, and returns the number of files.

    Args:
        grey: whether photographs are written without colours, as networks see them, or in their colours.

    Raises:
        ColourbenchError: the folder already contains files.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise ColourbenchError(f"{out} is not empty; name a new folder with --out")
    part = dataset.split(split)
    file_names = names(part)
    indices = np.arange(len(part))
    written = 0
    for _, images, truth in colourised(grey_ab, part, indices, "cpu"):
        for image in (_without_rounding(images) if grey else truth).permute(0, 2, 3, 1).numpy():
            Image.fromarray(image).save(out / from_text(f"{file_names[written]}.png"))
            written += 1
    return written


def _key(path: str) -> str:
    stem, dot, ending = path.rpartition(".")
    return (stem if dot and f".{ending.lower()}" in SUFFIXES else path).replace("/", "__")


def _tensor(images: np.ndarray) -> Tensor:
    # a copy: Pillow's arrays are read-only
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)


def _without_rounding(images: Tensor) -> Tensor:
    """Makes the channels equal: rounding leaves those of a photograph without ab up to 1 apart."""
    return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8).expand(-1, 3, -1, -1)

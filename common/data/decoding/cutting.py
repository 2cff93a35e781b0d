"""Cuts one file into the squares that are stored; adds a small copy for the colour filters and what finds duplicates.

Examiners run this in their own processes, so it imports nothing that is slow to load.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from common.data.decoding import fingerprints, images
from common.data.decoding.fingerprints import Fingerprint

Square = UInt8[np.ndarray, "s s 3"]
# pixels of the small copy's longer side: chroma figures of it differ little and cost far less
SMALL = 256


@dataclass(frozen=True)
class Cutting:
    """How photographs are cut: squares of `tile` pixels, or the centre square where `tile` is None, resized to `side` pixels."""

    tile: int | None
    side: int


@dataclass(frozen=True)
class Cut:
    """A photograph cut into squares; `small` is a copy of it whose longer side has at most 256 pixels."""

    width: int
    height: int
    small: UInt8[np.ndarray, "h w 3"]
    squares: list[Square]
    content_hash: str
    fingerprint: Fingerprint
    remarks: tuple[str, ...]


def cut(file: Path | bytes, how: Cutting, most_pixels: int = images.MAX_PIXELS) -> Cut:
    """Decodes and cuts a file, or a file's content.

    Raises:
        BadImage: the file cannot be used as a photograph; the text gives the reason.
    """
    photograph = images.decode(file, most_pixels)
    rgb = photograph.rgb
    squares = [_resized(square, how.side) for square in _squares(rgb, how.tile)]
    return Cut(
        width=rgb.shape[1],
        height=rgb.shape[0],
        small=small_copy(rgb),
        squares=squares,
        content_hash=fingerprints.content_hash(rgb),
        fingerprint=fingerprints.fingerprint(rgb),
        remarks=photograph.remarks,
    )


def small_copy(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A copy at most 256 pixels wide and high, reduced by averaging."""
    image = Image.fromarray(rgb)
    image.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(image)


def _squares(rgb: UInt8[np.ndarray, "h w 3"], tile: int | None) -> list[Square]:
    """The centre square, or the squares of `tile` pixels that fit, centred as a block."""
    height, width = rgb.shape[:2]
    side = min(tile or height, height, width)
    rows, columns = (height // side, width // side) if tile else (1, 1)
    top = (height - rows * side) // 2
    left = (width - columns * side) // 2
    corners = [(top + r * side, left + c * side) for r in range(rows) for c in range(columns)]
    return [rgb[y : y + side, x : x + side] for y, x in corners]


def _resized(square: Square, side: int) -> UInt8[np.ndarray, "t t 3"]:
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS))

"""What shows that two files hold the same photograph: a hash of the pixels, and a small description of how it looks."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

GREY_SIDE = 32  # pixels of the grey copy that is hashed
FREQUENCIES = 8  # a side; a hash has one bit for each of the 64 lowest frequencies
CELLS = 8  # a side


@dataclass(frozen=True)
class Fingerprint:
    """A photograph's perceptual hash, that of its mirror image, and its mean colours in 8 x 8 cells, row by row as RGB bytes."""

    hash: int
    mirrored: int
    cells: bytes


def content_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """SHA-256 of size and pixels: the same photograph under another name or in another container has the same hash."""
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def fingerprint(rgb: UInt8[np.ndarray, "h w 3"]) -> Fingerprint:
    """Describes what a photograph looks like; `copies.Copies` compares descriptions."""
    image = Image.fromarray(rgb)
    grey = np.asarray(
        image.convert("L").resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX), dtype=np.float32
    )
    cells = np.asarray(image.resize((CELLS, CELLS), Image.Resampling.BOX))
    return Fingerprint(_perceptual_hash(grey), _perceptual_hash(grey[:, ::-1]), cells.tobytes())


def _perceptual_hash(grey: Float[np.ndarray, "s s"]) -> int:
    """pHash (Zauner 2010, §3.2.1): which of the lowest frequencies of a cosine transform are above their median."""
    transformed = COSINES @ grey @ COSINES.T  # (8, 8)
    # the mean brightness does not count
    above = transformed > np.median(transformed.ravel()[1:])
    return int.from_bytes(np.packbits(above).tobytes())


def _cosines() -> Float[np.ndarray, "f s"]:
    """The first rows of the orthonormal DCT-II."""
    frequency = np.arange(FREQUENCIES)[:, None]
    position = np.arange(GREY_SIDE)[None] + 0.5
    rows = np.cos(np.pi * frequency * position / GREY_SIDE) * np.sqrt(2 / GREY_SIDE)
    rows[0] /= np.sqrt(2)
    cosines: Float[np.ndarray, "f s"] = rows.astype(np.float32)
    return cosines


COSINES = _cosines()

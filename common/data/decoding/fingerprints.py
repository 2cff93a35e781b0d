"""Hashes that show whether two files hold the same photograph."""

import hashlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def content_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """SHA-256 of size and pixels: the same photograph under another name or in another container has the same hash."""
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def look_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """A difference hash of 256 bits: photographs that were only resized or compressed again mostly share it.

    Each bit says whether a cell of a 16x17 grid is brighter than its neighbour (Krawetz 2013, dHash).
    """
    grey = np.asarray(Image.fromarray(rgb).convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes().hex()

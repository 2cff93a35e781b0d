"""One photograph written again: its metadata as far as the format takes them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.decoding import images
from studies.use.photographs import Original, write


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
def test_metadata_that_a_format_cannot_hold_is_left_out(kind: str, tmp_path: Path) -> None:
    """Odd resolutions and an Exif sub-IFD have ended whole folders; the picture is written all the same."""
    rgb = np.full((8, 8, 3), 100, np.uint8)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a comment"
    exif[0x0131] = "a scanner"
    for dpi in (None, (0.0, 0.0), (float("nan"), 1.0), (1e30, 1e30)):
        original = Original(rgb, exif.tobytes(), dpi, "grey", ())
        path = tmp_path / f"{dpi}.out"
        write(path, rgb, kind, original)
        assert images.decode(path).rgb.shape == rgb.shape

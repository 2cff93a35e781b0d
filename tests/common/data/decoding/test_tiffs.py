"""TIFF as scanners write it, against the samples that were written (by tifffile, which shares no code with Pillow)."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile

from common.data.decoding.images import decode

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 65536, (24, 20), dtype=np.uint16)
RGB = DRAW.integers(0, 65536, (24, 20, 3), dtype=np.uint16)


def written(*pages: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, metadata=None, **options)
    return file.getvalue()


def as_bytes(samples: np.ndarray) -> np.ndarray:
    return np.round(samples / 257).astype(int)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_16_bit_grey(photometric: str, compression: str | None) -> None:
    rgb = decode(written(GREY, photometric=photometric, compression=compression)).rgb
    white = GREY if photometric == "minisblack" else 65535 - GREY
    assert np.array_equal(rgb, np.stack([as_bytes(white)] * 3, axis=-1))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_in_planes_and_interleaved(bits: int, planar: str, compression: str | None) -> None:
    samples = RGB if bits == 16 else as_bytes(RGB).astype(np.uint8)
    shaped = samples if planar == "contig" else samples.transpose(2, 0, 1)
    options = {"photometric": "rgb", "planarconfig": planar, "compression": compression}
    rgb = decode(written(shaped, **options)).rgb
    expected = samples if bits == 8 else as_bytes(RGB)
    assert np.abs(rgb.astype(int) - expected).max() <= (bits == 16)  # Pillow truncates 16 bits


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_16_are_stretched_and_said(bits: int) -> None:
    samples = GREY >> np.uint16(16 - bits)
    samples[0, 0] = 2**bits - 1
    found = decode(written(samples))
    assert found.remarks == (f"{bits} bits of data in 16, stretched to all of them",)
    expected = np.round(samples * 255.0 / (2**bits - 1))
    assert np.abs(found.rgb[..., 0] - expected).max() <= 1


def test_the_largest_value_that_the_file_names_wins_over_a_guess() -> None:
    """A dark photograph of 16 bits looks like one of fewer."""
    dark = (GREY // 32).astype(np.uint16)
    told = decode(written(dark, extratags=[(281, "H", 1, 65535, True)]))
    assert told.remarks == () and told.rgb.max() <= 8
    named = decode(written(dark, extratags=[(281, "H", 1, 4095, True)]))
    assert named.remarks == ("12 bits of data in 16, stretched to all of them",)


def test_a_preview_before_the_photograph_is_left_out() -> None:
    large = as_bytes(RGB).astype(np.uint8)
    small = large[::4, ::4]
    assert decode(written(small, large, photometric="rgb")).rgb.shape == large.shape
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        # marked as a reduced version, though it is as large
        writer.write(large[::-1].copy(), subfiletype=1, photometric="rgb", metadata=None)
        writer.write(large, photometric="rgb", metadata=None)
    assert np.array_equal(decode(file.getvalue()).rgb, large)


def test_of_several_pages_the_first_is_taken_and_the_others_are_said() -> None:
    pages = [as_bytes(GREY).astype(np.uint8), np.zeros((24, 20), np.uint8)]
    found = decode(written(*pages))
    assert found.remarks == ("page 1 of 2; the others are left out",)
    assert np.array_equal(found.rgb[..., 0], pages[0])


def test_samples_without_a_scale_are_refused_in_a_sentence() -> None:
    with pytest.raises(Exception, match="no agreed scale"):
        decode(written(GREY.astype(np.float32) / 65535))

from collections.abc import Callable

import numpy as np
import pytest
from skimage import color, data

from common.data.decoding import filters, fingerprints
from common.data.decoding.filters import FilterConfig

CONFIG = FilterConfig()


def sepia(grey: np.ndarray) -> np.ndarray:
    """A sepia print of a grey photograph."""
    return np.asarray(
        np.clip(grey[..., None] * np.array([1.0, 0.86, 0.67]), 0, 255), dtype=np.uint8
    )


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_colour_photographs_are_kept(name: str) -> None:
    assert filters.judge(getattr(data, name)(), CONFIG).reason == ""


def test_grey_is_removed_even_with_one_colourful_corner() -> None:
    picture = np.stack([data.camera()] * 3, axis=-1)
    picture[:8, :8] = (255, 0, 0)  # the old filter read this pixel alone
    verdict = filters.judge(picture, CONFIG)
    assert verdict.reason == "grey"
    assert verdict.figures["chroma_mean"] < CONFIG.grey_chroma


def test_colour_is_kept_even_with_a_grey_corner() -> None:
    picture = data.coffee().copy()
    picture[:8, :8] = 128
    assert filters.judge(picture, CONFIG).reason == ""


def test_sepia_is_toned() -> None:
    assert filters.judge(sepia(data.camera()), CONFIG).reason == "toned"


def test_one_hue_alone_is_no_toning() -> None:
    """A meadow: green everywhere, but not one green for each lightness."""
    draw = np.random.default_rng(0)
    meadow = np.stack(
        [
            draw.integers(20, 90, (96, 96)),
            draw.integers(90, 200, (96, 96)),
            draw.integers(10, 60, (96, 96)),
        ],
        axis=-1,
    )
    assert filters.judge(meadow.astype(np.uint8), CONFIG).reason == ""


def test_too_small() -> None:
    assert filters.judge(np.zeros((10, 100, 3), np.uint8), CONFIG).reason == "too small"


def test_chroma_equals_skimage() -> None:
    picture = data.astronaut()[::2, ::2]  # 256 pixels, so no thumbnail is made
    lab = color.rgb2lab(picture)
    expected = np.hypot(lab[..., 1], lab[..., 2])
    figures = filters.chroma_figures(picture)
    assert figures["chroma_mean"] == pytest.approx(expected.mean(), abs=1e-3)
    assert figures["chroma_p95"] == pytest.approx(np.percentile(expected, 95), abs=1e-2)


def test_content_hashes(make_photograph: Callable[..., np.ndarray]) -> None:
    one = make_photograph(1)
    brighter = np.clip(one.astype(int) + 3, 0, 255).astype(np.uint8)
    assert fingerprints.content_hash(one) != fingerprints.content_hash(brighter)

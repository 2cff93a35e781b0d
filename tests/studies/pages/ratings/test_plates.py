"""The screen check: its steps are told apart, and its numbers are told by colour and by nothing else."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from studies.pages.ratings.plates import PLATES, STEPS, number, png

HIDDEN = "0123456789abcdef"


def drawn(plate: int, shown: str) -> np.ndarray:
    with Image.open(io.BytesIO(png(plate, shown, HIDDEN))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("plate", [0, 1])
@pytest.mark.parametrize("count", STEPS)
def test_a_row_has_as_many_squares_as_it_says(plate: int, count: int) -> None:
    picture = drawn(plate, str(count))
    squares = (picture != picture[0, 0]).any(axis=2)
    assert ndimage.label(squares)[1] == count
    row = picture[picture.shape[0] // 2, :, 0].astype(int)
    levels = list(dict.fromkeys(row[row != row[0]].tolist()))
    # each is a step further from the ground than the one before
    assert len(levels) == count
    assert np.all(np.diff(np.abs(np.array(levels) - int(row[0]))) > 0)


@pytest.mark.parametrize("plate", [2, 3])
def test_the_figure_differs_in_colour_and_not_in_lightness(plate: int) -> None:
    """Two numbers under one seed: where their pictures differ is where one number is and the other is not."""
    one, other = (rgb2lab(drawn(plate, shown)) for shown in ("47", "86"))
    differ = np.linalg.norm(one[..., 1:] - other[..., 1:], axis=2) > 10
    assert 0.02 < differ.mean() < 0.5
    # by rounding to RGB and clipping alone
    assert np.abs(one[differ][:, 0] - other[differ][:, 0]).max() < 6


# Machado, Oliveira & Fernandes 2009, table 1, severity 1: linear RGB as a dichromat's
SEES = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def seen(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Lab of 8-bit colours (N, 3) as somebody sees them."""
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    mixed = np.clip(linear @ np.asarray(matrix).T, 0, 1)
    srgb = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    found: np.ndarray = rgb2lab(srgb[None])[0]
    return found


@pytest.mark.parametrize("plate", [2, 3])
def test_who_tells_red_from_green_sees_the_number_and_who_does_not_does_not(plate: int) -> None:
    """d′ of a dot by the best linear rule on its colour: at least 3.5 with normal sight, at most 1 without L or M cones."""
    picture = drawn(plate, "47").astype(float)
    lab = rgb2lab(picture.astype(np.uint8))
    dots = picture[lab[..., 0] < 85]  # the paper between them is lighter
    is_red = lab[lab[..., 0] < 85][:, 1] > 8  # half-way between number and ground
    for name, matrix in SEES.items():
        first = seen(dots[is_red], np.asarray(matrix))
        second = seen(dots[~is_red], np.asarray(matrix))
        within = (np.cov(first.T) + np.cov(second.T)) / 2 + 1e-6 * np.eye(3)
        apart = first.mean(axis=0) - second.mean(axis=0)
        d = float(np.sqrt(apart @ np.linalg.solve(within, apart)))
        assert d >= 3.5 if name == "normal" else d <= 1, (name, d)


@pytest.mark.parametrize("plate", [2, 3])
def test_the_number_is_the_smaller_part_and_in_the_middle(plate: int) -> None:
    """Where neither number is, both pictures are the ground: so they are alike at the rim, and the ground is the larger part."""
    one, other = (drawn(plate, shown).astype(int) for shown in ("47", "86"))
    differ = np.abs(one - other).max(axis=2) > 20
    rows, columns = np.nonzero(differ)
    size = differ.shape[0]
    assert (
        0.1 * size < rows.min()
        and rows.max() < 0.9 * size
        and abs(columns.mean() - size / 2) < 0.1 * size
    )
    ground = rgb2lab(one.astype(np.uint8))[..., 1]
    inside = (
        np.hypot(*np.meshgrid(np.arange(size) - size / 2, np.arange(size) - size / 2)) < 0.47 * size
    )
    rim = inside & (
        np.hypot(*np.meshgrid(np.arange(size) - size / 2, np.arange(size) - size / 2)) > 0.42 * size
    )
    figure_first, ground_first = {2: (33, -18), 3: (-11, 30)}[plate]
    assert abs(np.median(ground[rim]) - ground_first) < abs(np.median(ground[rim]) - figure_first)


def test_numbers_follow_from_the_hidden_text_alone() -> None:
    for plate, made in enumerate(PLATES):
        numbers = {number(plate, f"{value:032x}") for value in range(500)}
        assert numbers == {str(choice) for choice in made.numbers}
        assert number(plate, HIDDEN) == number(plate, HIDDEN)

"""What the screen check shows: dark and light steps, and two plates of dots whose number only colour tells.

The plates follow the idea of Ishihara's (1917). They sort out what would spoil a study of colours; they are no medical test.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from studies.people.pictures import encoded

SIZE = 320
STEPS = (3, 4, 5, 6)  # how many squares a row of steps may have
DOTS = 5200


@dataclass(frozen=True)
class Plate:
    """One picture of the check."""

    question: str
    draw: Callable[[int, np.random.Generator], UInt8[np.ndarray, "h w 3"]]
    numbers: tuple[int, ...]


def number(plate: int, hidden: str) -> str:
    """The number that a plate shows, drawn by a hidden text."""
    choices = PLATES[plate].numbers
    return str(choices[int(hidden, 16) % len(choices)])


def png(plate: int, shown: str, hidden: str) -> bytes:
    """The plate as a picture."""
    return encoded(PLATES[plate].draw(int(shown), np.random.default_rng(int(hidden[:12], 16))))


def _steps(
    background: int, step: int
) -> Callable[[int, np.random.Generator], UInt8[np.ndarray, "h w 3"]]:
    """A row of squares, each a little further from the background than the one before."""

    def draw(count: int, _: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
        image = Image.new("RGB", (SIZE, SIZE // 4), (background,) * 3)
        pen = ImageDraw.Draw(image)
        width = SIZE // max(STEPS)
        for position in range(count):
            left = position * width + 6
            pen.rectangle(
                (left, 16, left + width - 12, SIZE // 4 - 16),
                fill=(background + step * (position + 1),) * 3,
            )
        return np.asarray(image)

    return draw


def _dots(
    figure: tuple[float, float], ground: tuple[float, float], yellowness: float
) -> Callable[[int, np.random.Generator], UInt8[np.ndarray, "h w 3"]]:
    """Dots of any lightness; those of the number are redder or greener than those around it.

    Who cannot tell red from green still sees lightness, and yellow from blue: both vary from dot to dot, more than they differ
    between number and ground.

    Args:
        yellowness: standard deviation of b.
    """

    def draw(shown: int, random: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
        x = random.uniform(0, SIZE, DOTS)
        y = random.uniform(0, SIZE, DOTS)
        radius = random.uniform(2, 5, DOTS)
        is_figure = _digits(shown)[y.astype(int), x.astype(int)]
        scatter = random.normal(0, (3.0, yellowness), (DOTS, 2))
        ab = np.where(is_figure[:, None], figure, ground) + scatter
        colours = _as_rgb(random.uniform(40, 75, (DOTS, 1)), ab)
        inside = np.hypot(x - SIZE / 2, y - SIZE / 2) <= SIZE / 2 - radius
        return _circles(x[inside], y[inside], radius[inside], colours[inside])

    return draw


def _circles(
    x: np.ndarray, y: np.ndarray, radius: np.ndarray, colours: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.new("RGB", (SIZE, SIZE), (238, 238, 232))
    pen = ImageDraw.Draw(image)
    for k in range(len(x)):
        pen.circle((x[k], y[k]), radius[k], fill=tuple(colours[k].tolist()))
    return np.asarray(image)


def _as_rgb(L: np.ndarray, ab: np.ndarray) -> np.ndarray:
    from skimage.color import lab2rgb

    rgb: np.ndarray = lab2rgb(np.hstack([L, ab])[None])[0]
    return np.round(255 * rgb).astype(int)


def _digits(shown: int) -> np.ndarray:
    image = Image.new("L", (SIZE, SIZE))
    font = ImageFont.load_default(size=200)
    ImageDraw.Draw(image).text(
        (SIZE / 2, SIZE / 2), str(shown), fill=255, font=font, anchor="mm", stroke_width=5
    )
    return np.asarray(image) > 127


_SQUARES = "How many squares can you count?"
_NUMBER = "Which number do you see? Leave it empty if you see none."
_NUMBERS = tuple(n for n in range(23, 99) if n % 10 and n % 11)
PLATES = (
    Plate(_SQUARES, _steps(0, 9), STEPS),
    Plate(_SQUARES, _steps(255, -6), STEPS),
    Plate(_NUMBER, _dots((33, 36), (-18, 36), 13), _NUMBERS),
    Plate(_NUMBER, _dots((-11, -17), (30, -17), 14), _NUMBERS),
)

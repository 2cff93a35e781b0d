"""The schedule of the human study: who rates what, in which order and on which side. It is seeded and blinded."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from common.errors import ColourbenchError

TestName = Literal["pair", "opinion"]
TESTS = get_args(TestName)
Kind = Literal["test", "vigilance", "repeat"]
TRUTH = "truth"
RANDOM = "random colours"

VIGILANCE = 0.10  # share of trials with random colours; a rater who misses these is not paying attention
REPEATS = 0.05  # share of trials shown again with sides swapped


Shown = tuple[str, Sequence[int | None]]  # an arm and its seeds


@dataclass(frozen=True)
class Trial:
    """One question. `side` is the side of the truth in a pair, and empty in an opinion test."""

    code: str
    rater: str
    trial: int
    kind: Kind
    image: str
    arm: str
    side: str = ""
    seed: int | None = None  # of the arm's run that coloured the photograph; None for the truth and random colours


@dataclass(frozen=True)
class Design:
    """The settings of a human study."""

    test: TestName
    raters: int
    trials: int
    seed: int = 0


def plan(design: Design, images: Sequence[str], arms: Mapping[str, Sequence[int]], secret: str) -> list[Trial]:
    """Plans the trials of every rater.

    Each rater sees each photograph once, apart from the repeats. Arms rotate over photographs and raters as in a Latin
    square, so that every rater sees all arms and, over the raters, every photograph appears in all arms. Within an arm its seeds
    rotate in the same way: a verdict about a method must count them. The truth is equally often left and right. In an opinion
    test the truth is one of the arms (hidden reference).

    Args:
        arms: each with the seeds of its runs.
        secret: keys the codes, order and sides; nobody can predict them without it.

    Raises:
        ColourbenchError: too few photographs for the trials, or too few trials for the arms.
    """
    shown: list[Shown] = [(arm, tuple(seeds)) for arm, seeds in arms.items()]
    if design.test == "opinion":
        shown.append((TRUTH, (None,)))
    _check(design, images, shown)
    names = [f"rater-{number + 1:02d}" for number in range(design.raters)]
    hidden = int.from_bytes(hashlib.sha256(secret.encode()).digest()[:8])  # otherwise the seed alone would reveal order and sides
    trials: list[Trial] = []
    for number, rater in enumerate(names):
        draw = np.random.default_rng([design.seed, number, hidden])
        trials += [
            Trial(_code(secret, rater, position), rater, position, kind, image, arm, side, seed)
            for position, (kind, image, arm, side, seed) in enumerate(_rows(design, images, shown, number, draw), 1)
        ]
    return trials


def _check(design: Design, images: Sequence[str], arms: Sequence[Shown]) -> None:
    repeats, vigilance = _controls(design.trials)
    fresh = design.trials - repeats
    if fresh > len(images):
        raise ColourbenchError(
            f"{design.trials} trials need {fresh} photographs, each shown once to a rater, and there are {len(images)}; "
            f"use --trials {len(images) + _controls(len(images))[0]} or fewer"
        )
    if fresh - vigilance < len(arms):
        raise ColourbenchError(f"{design.trials} trials are too few for {len(arms)} arms beside the control trials; raise --trials")


def _controls(trials: int) -> tuple[int, int]:
    """The number of repeats, and the number of vigilance trials among the others."""
    repeats = max(1, round(REPEATS * trials))
    return repeats, max(1, round(VIGILANCE * (trials - repeats)))


Row = tuple[Kind, str, str, str, int | None]


def _rows(design: Design, images: Sequence[str], arms: Sequence[Shown], rater: int, draw: np.random.Generator) -> Iterator[Row]:
    """One rater's trials in order: test and vigilance trials mixed, then the repeats."""
    repeats, vigilance = _controls(design.trials)
    fresh = design.trials - repeats
    chosen = draw.permutation(len(images))[:fresh]
    sides = draw.permutation(np.resize(["left", "right"], fresh)) if design.test == "pair" else [""] * fresh
    rows: list[Row] = []
    for position, (image, side) in enumerate(zip(chosen, sides, strict=True)):
        if position < vigilance:
            rows.append(("vigilance", images[image], RANDOM, str(side), None))
        else:  # indexed by the photograph's own number, so that arms, and in turn their seeds, rotate over raters
            turn, index = divmod(int(image) + rater, len(arms))
            arm, seeds = arms[index]
            rows.append(("test", images[image], arm, str(side), seeds[turn % len(seeds)]))
    rows = [rows[i] for i in draw.permutation(len(rows))]
    yield from rows
    tests = [row for row in rows if row[0] == "test"]
    for i in draw.permutation(len(tests))[:repeats]:
        _, name, arm, side, seed = tests[i]
        yield "repeat", name, arm, {"left": "right", "right": "left", "": ""}[side], seed


def _code(secret: str, rater: str, position: int) -> str:
    """A hexadecimal code; the leading letter keeps spreadsheets from reading it as a number."""
    return "f" + hmac.new(secret.encode(), f"{rater} {position}".encode(), hashlib.sha256).hexdigest()[:11]

"""Who rates what, in which order and on which side: one seeded, blinded schedule."""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

TestName = Literal["pair", "opinion"]
Kind = Literal["test", "vigilance", "repeat"]
TRUTH = "truth"
RANDOM = "random colours"

VIGILANCE = 0.10  # share of trials with random colours: who cannot tell these is not looking
REPEATS = 0.05  # share of trials shown again with sides swapped


@dataclass(frozen=True)
class Trial:
    """One question. `side` is where the truth stands in a pair, and empty in an opinion test."""

    code: str
    rater: str
    trial: int
    kind: Kind
    image: str
    arm: str
    side: str = ""


@dataclass(frozen=True)
class Design:
    """What a human study asks for."""

    test: TestName
    raters: int
    trials: int
    seed: int = 0


def plan(design: Design, images: Sequence[str], arms: Sequence[str], secret: str) -> list[Trial]:
    """The trials of every rater.

    Each rater sees each photograph once, apart from the repeats; arms rotate over photographs and raters as in a Latin
    square, so that every rater sees all arms and every photograph comes in all arms over the raters; the truth stands left
    and right equally often. In an opinion test the truth is one of the arms (hidden reference).

    Args:
        secret: keys the opaque codes; whoever lacks it learns nothing from them.
    """
    shown = [*arms, TRUTH] if design.test == "opinion" else list(arms)
    names = [f"rater-{number + 1:02d}" for number in range(design.raters)]
    trials: list[Trial] = []
    for number, rater in enumerate(names):
        draw = np.random.default_rng([design.seed, number])
        trials += [
            Trial(_code(secret, rater, place), rater, place, kind, image, arm, side)
            for place, (kind, image, arm, side) in enumerate(_rows(design, images, shown, number, draw), 1)
        ]
    return trials


Row = tuple[Kind, str, str, str]


def _rows(design: Design, images: Sequence[str], arms: list[str], rater: int, draw: np.random.Generator) -> Iterator[Row]:
    """One rater's trials in order: test and vigilance mixed, then the repeats."""
    repeats = max(1, round(REPEATS * design.trials))
    fresh = min(design.trials - repeats, len(images))
    vigilance = max(1, round(VIGILANCE * fresh))
    chosen = draw.permutation(len(images))[:fresh]
    sides = draw.permutation(np.resize(["left", "right"], fresh)) if design.test == "pair" else [""] * fresh
    rows: list[Row] = []
    for place, (image, side) in enumerate(zip(chosen, sides, strict=True)):
        if place < vigilance:
            rows.append(("vigilance", images[image], RANDOM, str(side)))
        else:  # by the photograph's own number, so that arms rotate over raters
            rows.append(("test", images[image], arms[(int(image) + rater) % len(arms)], str(side)))
    rows = [rows[i] for i in draw.permutation(len(rows))]
    yield from rows
    tests = [row for row in rows if row[0] == "test"]
    for i in draw.permutation(len(tests))[:repeats]:
        _, name, arm, side = tests[i]
        yield "repeat", name, arm, {"left": "right", "right": "left", "": ""}[side]


def _code(secret: str, rater: str, place: int) -> str:
    return hmac.new(secret.encode(), f"{rater} {place}".encode(), hashlib.sha256).hexdigest()[:12]

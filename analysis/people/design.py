"""The tests that a human study can use, its settings, and its trials. Protocols and their sources: `docs/people.md`."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

TestName = Literal["pair", "single", "opinion", "preference"]
TESTS = get_args(TestName)
Kind = Literal["practice", "test", "vigilance", "repeat"]
TRUTH = "truth"
RANDOM = "random colours"
SECONDS_TO_ANSWER = 4.0  # the cross before a picture and the decision after it
OPPOSITE = {"left": "right", "right": "left", "": ""}


@dataclass(frozen=True)
class Protocol:
    """What a rater is asked about each picture, and how the page shows it."""

    question: str
    answers: tuple[str, ...]
    labels: tuple[str, ...]  # of the answers, as raters read them
    two: bool = False  # two photographs side by side
    # the same where the two stand one above the other, on a narrow screen
    stacked_question: str = ""
    stacked_labels: tuple[str, ...] = ()
    # how long the page shows a picture by default, 0 without limit; the answer itself is never limited
    exposure_ms: int = 0


PROTOCOLS: dict[TestName, Protocol] = {
    # Zhang et al. 2016, §3.2
    "pair": Protocol(
        question="One photograph has its real colours, the other was coloured by a computer. Which is real: left or right?",
        answers=("left", "right"),
        labels=("left", "right"),
        two=True,
        stacked_question="One photograph has its real colours, the other was coloured by a computer. Which is real: top or bottom?",
        stacked_labels=("top", "bottom"),
        exposure_ms=1000,
    ),
    # HYPE∞, Zhou et al. 2019
    "single": Protocol(
        question="Are the colours of this photograph real, or were they made by a computer?",
        answers=("real", "fake"),
        labels=("real", "made by a computer"),
    ),
    # ITU-R BT.500-15, absolute category rating with a hidden reference
    "opinion": Protocol(
        question="How natural are the colours? 1 bad, 2 poor, 3 fair, 4 good, 5 excellent.",
        answers=("1", "2", "3", "4", "5"),
        labels=("1 bad", "2 poor", "3 fair", "4 good", "5 excellent"),
    ),
    # without a word on who coloured them: beside random colours, which check attention, one may be real
    "preference": Protocol(
        question="Which photograph has the more natural colours: left, right, or neither?",
        answers=("left", "right", "equal"),
        labels=("left", "right", "no difference"),
        two=True,
        stacked_question="Which photograph has the more natural colours: top, bottom, or neither?",
        stacked_labels=("top", "bottom", "no difference"),
    ),
}


@dataclass(frozen=True)
class Design:
    """The settings of a human study.

    Args:
        raters: of the sheets, or that are planned for a page, which takes any number; 0 where none are.
        trials: in a block, control trials included and practice not.
        seed: of the schedule.
        practice: trials with feedback before a rater's first block; they use photographs of their own.
        exposure_ms: how long the page shows a picture; 0 is without limit.
    """

    test: TestName
    raters: int
    trials: int
    seed: int = 0
    practice: int = 0
    exposure_ms: int = 0

    @property
    def minutes(self) -> int:
        """How long a rater's first block takes, instructions and screen check included, rounded up."""
        each = self.exposure_ms / 1000 + SECONDS_TO_ANSWER
        return math.ceil(2 + (self.trials + self.practice) * each / 60)


@dataclass(frozen=True)
class Trial:
    """One question.

    `side` is where the truth is in a pair, where `arm` is in a preference, and empty where one photograph is shown.
    """

    code: str
    rater: str
    trial: int
    kind: Kind
    image: str
    arm: str
    side: str = ""
    # of the arm's run that coloured the photograph; None for the truth and random colours
    seed: int | None = None
    block: int = 1
    other: str = ""  # the arm on the other side of a preference
    other_seed: int | None = None

    @property
    def right_answer(self) -> str:
        """The answer that is right; empty where there is none."""
        return right_answer(self.arm, self.side, self.other)


def right_answer(arm: str, side: str, other: str = "") -> str:
    """The right answer to a trial, or an empty string where a trial asks for taste.

    In a pair it is the truth's side; alone, whether the photograph is the truth; beside random colours, the truth's side.
    """
    if other:
        return OPPOSITE[side] if arm == RANDOM else side if other == RANDOM else ""
    return side or ("real" if arm == TRUTH else "fake")

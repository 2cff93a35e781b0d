"""The tests that a human study can use, its settings, and its trials. Protocols and their sources: `docs/people.md`."""

from dataclasses import dataclass
from typing import Literal, get_args

TestName = Literal["pair", "single", "opinion", "preference"]
TESTS = get_args(TestName)
Kind = Literal["practice", "test", "vigilance", "repeat"]
TRUTH = "truth"
RANDOM = "random colours"
OPPOSITE = {"left": "right", "right": "left", "": ""}


@dataclass(frozen=True)
class Protocol:
    """What a rater is asked about each picture, and how the page shows it."""

    question: str
    answers: tuple[str, ...]
    labels: tuple[str, ...]  # of the answers, as raters read them
    two: bool = False  # two photographs side by side
    exposure_ms: int = 0  # how long the page shows a picture by default, 0 without limit; the answer itself is never limited


PROTOCOLS: dict[TestName, Protocol] = {
    "pair": Protocol(  # Zhang et al. 2016, §3.2
        "One photograph has its real colours, the other was coloured by a computer. Which is real: left or right?",
        *(("left", "right"), ("left", "right")),
        *(True, 1000),
    ),
    "single": Protocol(  # HYPE∞, Zhou et al. 2019
        "Are the colours of this photograph real, or were they made by a computer?",
        *(("real", "fake"), ("real", "made by a computer")),
    ),
    "opinion": Protocol(  # ITU-R BT.500-15, absolute category rating with a hidden reference
        "How natural are the colours? 1 bad, 2 poor, 3 fair, 4 good, 5 excellent.",
        *(("1", "2", "3", "4", "5"), ("1 bad", "2 poor", "3 fair", "4 good", "5 excellent")),
    ),
    "preference": Protocol(
        "Both photographs were coloured by a computer. Which has the more natural colours: left, right, or neither?",
        *(("left", "right", "equal"), ("left", "right", "no difference")),
        *(True,),
    ),
}


@dataclass(frozen=True)
class Design:
    """The settings of a human study.

    Args:
        raters: of the sheets; a page takes any number.
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
    seed: int | None = None  # of the arm's run that coloured the photograph; None for the truth and random colours
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

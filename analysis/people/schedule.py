"""Who rates what, in which order and on which side: seeded, blinded, and balanced for any number of raters.

Trials are dealt in blocks. Each block takes the cells that were judged least often so far: a cell is a photograph in an arm, or
with two arms. The same rule makes the sheets, all at once, and serves the page, one block at a time as raters come.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from analysis.people.design import OPPOSITE, PROTOCOLS, RANDOM, TRUTH, Design, Kind, Trial
from common.errors import ColourbenchError

# share of trials with random colours; a rater who misses these is not paying attention
VIGILANCE = 0.10
# with eight, who answers at random passes in 4 % of cases and who looks in 99.7 %; short blocks have a quarter
ENOUGH_VIGILANCE = 8
REPEATS = 0.05  # share of trials shown again with sides swapped

SMALLEST = 4  # trials of a block

Option = tuple[str, str]  # what a trial shows: an arm, and in a preference the other one
Seeds = Mapping[str, Sequence[int | None]]


@dataclass(frozen=True)
class Schedule:
    """The plan of a study: its design, its photographs, its arms with their seeds, and the secret that hides the order."""

    design: Design
    images: Sequence[str]
    arms: Mapping[str, Sequence[int]]
    secret: str

    def check(self) -> None:
        """Checks that a rater can do one block.

        Raises:
            ColourbenchError: too few photographs for the trials, or too few trials for the arms.
        """
        design = self.design
        repeats = _controls(self.design.trials)[0]
        fresh = design.trials - repeats
        spare = len(self.images) - design.practice
        if fresh > spare:
            enough = trials_that_fit(spare, design.trials)
            remedy = (
                f"use --trials {enough} or fewer"
                if spare > SMALLEST
                else "add photographs, or lower --practice"
            )
            raise ColourbenchError(
                f"{design.trials} trials need {fresh + design.practice} photographs, each shown once to a rater, and there are "
                f"{len(self.images)}; {remedy}"
            )
        if design.test == "preference":
            if len(self.arms) < 2:
                raise ColourbenchError("a preference needs two arms")
        elif self._shown(fresh - _controls(design.trials)[1]) < len(self.options):
            raise ColourbenchError(
                f"{design.trials} trials are too few for {len(self.options)} arms beside the control trials; raise --trials"
            )

    def _shown(self, tests: int) -> int:
        """How many options a block of so many test trials can show; alone, half of the trials show the truth."""
        return 1 + tests - tests // 2 if self.design.test == "single" else tests

    @property
    def options(self) -> list[Option]:
        """What test trials show. The truth is a hidden reference of opinions, and half of what is shown alone."""
        if self.design.test == "preference":
            return list(combinations(self.arms, 2))
        alone = self.design.test in ("opinion", "single")
        return [(arm, "") for arm in (*self.arms, *([TRUTH] if alone else []))]

    @property
    def practice_images(self) -> list[str]:
        """The photographs that only practice trials show."""
        order = np.random.default_rng([self.design.seed, self._hidden("practice")]).permutation(
            len(self.images)
        )
        return [self.images[position] for position in order[: self.design.practice]]

    def plan(self) -> list[Trial]:
        """The trials of as many raters as the design names, a block each."""
        self.check()
        trials: list[Trial] = []
        for number in range(self.design.raters):
            trials += self.block(f"rater-{number + 1:02d}", 1, trials)
        return trials

    def left(self, own_trials: Iterable[Trial]) -> list[str]:
        """The photographs that a rater has not seen, given the rater's own trials."""
        seen = {trial.image for trial in own_trials} | set(self.practice_images)
        return [image for image in self.images if image not in seen]

    def fits(self, photographs: int) -> bool:
        """Whether so many unseen photographs are enough for one more block."""
        return photographs >= self.design.trials - _controls(self.design.trials)[0]

    def block(self, rater: str, number: int, before: Sequence[Trial]) -> list[Trial]:
        """Deals a rater's next block.

        Args:
            number: of the rater's block, from 1; the first begins with the practice trials.
            before: all trials of all raters that count, this rater's own among them.

        Raises:
            ColourbenchError: the rater has seen too many photographs for another block.
        """
        left = self.left(trial for trial in before if trial.rater == rater)
        if not self.fits(len(left)):
            raise ColourbenchError("there are no photographs left for another block")
        draw = np.random.default_rng([self.design.seed, self._hidden(f"{rater} {number}")])
        trials = self._dealt(left, before, draw)
        ordered = [trials[position] for position in draw.permutation(len(trials))]
        ordered += _repeats(ordered, _controls(self.design.trials)[0], draw)
        practice = self._practice(draw) if number == 1 else []
        return self._numbered([*practice, *ordered], rater, number)

    def _dealt(
        self, left: Sequence[str], before: Sequence[Trial], draw: np.random.Generator
    ) -> list[Trial]:
        """New trials on photographs that the rater has not seen, with seeds and sides that even the study out."""
        repeats, vigilance = _controls(self.design.trials)
        dealt = _deal(self, left, self.design.trials - repeats - vigilance, before, draw)
        seen = {image for image, _ in dealt}
        spare = [image for image in left if image not in seen]
        watched = [spare[position] for position in draw.permutation(len(spare))[:vigilance]]
        trials = [self._trial("test", image, option) for image, option in dealt]
        trials = _with_seeds(trials, {**self.arms, TRUTH: (None,)}, before, draw)
        trials += [self._trial("vigilance", image, self._vigilance()) for image in watched]
        if PROTOCOLS[self.design.test].two:
            trials = _with_sides(trials, before, draw)
        return trials

    def _numbered(self, trials: Sequence[Trial], rater: str, block: int) -> list[Trial]:
        """The trials with their places in the rater's block, and their codes."""
        numbered = []
        for position, trial in enumerate(trials, 1):
            code = _code(self.secret, rater, block, position)
            numbered.append(replace(trial, code=code, rater=rater, block=block, trial=position))
        return numbered

    def _practice(self, draw: np.random.Generator) -> list[Trial]:
        """Practice shows what the test shows, one option after the other."""
        options = [self.options[position] for position in draw.permutation(len(self.options))]
        dealt = [(image, options[k % len(options)]) for k, image in enumerate(self.practice_images)]
        trials = _with_seeds(
            [self._trial("practice", *one) for one in dealt],
            {**self.arms, TRUTH: (None,)},
            [],
            draw,
        )
        return _with_sides(trials, [], draw) if PROTOCOLS[self.design.test].two else trials

    def _vigilance(self) -> Option:
        """Random colours, in a preference beside the truth."""
        return (TRUTH, RANDOM) if self.design.test == "preference" else (RANDOM, "")

    def _trial(self, kind: Kind, image: str, option: Option) -> Trial:
        return Trial("", "", 0, kind, image, option[0], other=option[1])

    def _hidden(self, text: str) -> int:
        """A number that nobody can guess without the secret; the public seed alone would reveal order and sides."""
        return int.from_bytes(
            hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest()[:8]
        )


def _controls(trials: int) -> tuple[int, int]:
    """The number of repeats, and the number of vigilance trials among the others."""
    repeats = max(1, round(REPEATS * trials))
    others = trials - repeats
    return repeats, max(1, round(VIGILANCE * others), min(ENOUGH_VIGILANCE, others // 4))


def _deal(
    schedule: Schedule,
    left: Sequence[str],
    count: int,
    before: Sequence[Trial],
    draw: np.random.Generator,
) -> list[tuple[str, Option]]:
    """Matches `count` of the photographs left with options, at the least total of earlier judgements of the matched cells.

    A rater sees every option equally often; what remains goes to the options judged least. Over raters this gives the balance of
    a Latin square, and keeps it when raters stop early or never come.
    """
    # half a second to import: the page is up before
    from scipy.optimize import (
        linear_sum_assignment,
    )

    tests = [trial for trial in before if trial.kind == "test"]
    cells = Counter((trial.image, trial.arm, trial.other) for trial in tests)
    photographs = Counter(trial.image for trial in tests)
    slots = _slots(schedule, count, Counter((trial.arm, trial.other) for trial in tests), draw)
    judged = np.array(
        [[cells[(image, *option)] for option in slots] for image in left], dtype=float
    ).reshape(len(left), count)
    often = np.array([photographs[image] for image in left], dtype=float)[:, None]
    cost = judged + 0.5 * often / (1 + often.max(initial=0)) + 1e-3 * draw.random(judged.shape)
    rows, columns = linear_sum_assignment(cost)
    return [(left[row], slots[column]) for row, column in zip(rows, columns, strict=True)]


def _slots(
    schedule: Schedule, count: int, judged: Counter[Option], draw: np.random.Generator
) -> list[Option]:
    """The options of a block, each as often as another, but the truth in half of the trials where photographs stand alone."""
    options = schedule.options
    slots: list[Option] = []
    if schedule.design.test == "single":
        options = [option for option in options if option[0] != TRUTH]
        slots = [(TRUTH, "")] * (count // 2)
    whole, rest = divmod(count - len(slots), len(options))
    least = sorted(options, key=lambda option: (judged[option], draw.random()))
    return slots + options * whole + least[:rest]


def _with_seeds(
    trials: Sequence[Trial], seeds: Seeds, before: Sequence[Trial], draw: np.random.Generator
) -> list[Trial]:
    """Gives every shown arm the seed that this rater, this photograph and the study have seen least, in this order."""
    shown: Counter[object] = Counter()
    for trial in before:
        if trial.kind == "test":
            for arm, seed in ((trial.arm, trial.seed), (trial.other, trial.other_seed)):
                shown.update([(arm, seed), (trial.image, arm, seed)])

    def seed_of(arm: str, image: str) -> int | None:
        if arm not in seeds:
            return None
        least = min(
            seeds[arm],
            key=lambda seed: (
                shown["this rater", arm, seed],
                shown[image, arm, seed],
                shown[arm, seed],
                draw.random(),
            ),
        )
        shown.update([("this rater", arm, least), (arm, least), (image, arm, least)])
        return least

    return [
        replace(t, seed=seed_of(t.arm, t.image), other_seed=seed_of(t.other, t.image))
        for t in trials
    ]


def _with_sides(
    trials: Sequence[Trial], before: Sequence[Trial], draw: np.random.Generator
) -> list[Trial]:
    """Sides alternate within each option and over the block; of the two ways to begin, the one that evens the study out."""
    positions = range(len(trials))
    order = sorted(positions, key=lambda k: (*_option(trials[k]), draw.random()))
    first = ["left" if rank % 2 == 0 else "right" for rank in np.argsort(order)]
    ways = [first, [OPPOSITE[side] for side in first]]
    shown = Counter((*_option(trial), trial.side) for trial in before if trial.kind != "repeat")
    uneven = [_unevenness(trials, sides, shown) for sides in ways]
    best = ways[draw.integers(2)] if uneven[0] == uneven[1] else ways[int(np.argmin(uneven))]
    return [replace(trial, side=side) for trial, side in zip(trials, best, strict=True)]


def _option(trial: Trial) -> tuple[str, str]:
    return trial.arm, trial.other


def _unevenness(
    trials: Sequence[Trial], sides: Sequence[str], shown: Counter[tuple[str, str, str]]
) -> int:
    """Sum of squares of (shown left - shown right) over the options, with these trials on these sides."""
    after = shown + Counter(
        (*_option(trial), side) for trial, side in zip(trials, sides, strict=True)
    )
    options = {_option(trial) for trial in trials}
    return sum((after[(*each, "left")] - after[(*each, "right")]) ** 2 for each in options)


def _repeats(trials: Sequence[Trial], count: int, draw: np.random.Generator) -> list[Trial]:
    tests = [trial for trial in trials if trial.kind == "test"]
    again = [tests[position] for position in draw.permutation(len(tests))[:count]]
    return [replace(trial, kind="repeat", side=OPPOSITE[trial.side]) for trial in again]


def _code(secret: str, rater: str, block: int, position: int) -> str:
    """A hexadecimal code; the leading letter keeps spreadsheets from reading it as a number."""
    return (
        "f"
        + hmac.new(
            secret.encode(), f"{rater} {block} {position}".encode(), hashlib.sha256
        ).hexdigest()[:15]
    )


def trials_that_fit(photographs: int, most: int) -> int:
    """The longest block, of at most `most` trials, that so many photographs allow."""
    return max(
        (
            trials
            for trials in range(SMALLEST, most + 1)
            if trials - _controls(trials)[0] <= photographs
        ),
        default=SMALLEST,
    )

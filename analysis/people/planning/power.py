"""How many raters see a difference: power by simulating the study that would be run, with its schedule and its analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.people.clustered import CLUSTERED, Regression
from analysis.people.design import PROTOCOLS, TRUTH, Design, TestName, Trial
from analysis.people.planning.stopping import AT_THE_END
from analysis.people.rates import judged_trials, t_test
from analysis.people.schedule import Schedule
from analysis.statistics.differences import holm
from common.errors import ColourbenchError

RATERS = (8, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240)
ENOUGH = 0.80


@dataclass(frozen=True)
class Assumptions:
    """What the simulated people and photographs are like. Deviations are standard deviations on the scale of the answers.

    Answers of a pair or of single photographs are shares (0 to 1), opinions are scores (1 to 5).

    Args:
        mean: of an arm; 0.3 is in the middle of what colourisers reach in a pair test (Zhang et al. 2016: .27 to .32).
        raters: between raters.
        photographs: between photographs.
        likes: of how an arm suits a photograph.
        seeds: between trained runs of one method.
        noise: of one opinion; shares need none, an answer is drawn.
    """

    mean: float = 0.3
    raters: float = 0.10
    photographs: float = 0.10
    likes: float = 0.10
    seeds: float = 0.02
    noise: float = 0.0

    def in_words(self, test: TestName) -> str:
        """The assumptions in a sentence, in points of a rate or of a score."""
        is_score = test == "opinion"
        mean = f"a mean score of {self.mean:.1f}" if is_score else f"{self.mean:.0%} fooled"
        scale = 1.0 if is_score else 100.0
        digits = 2 if is_score else 0
        differ = [
            f"{name} by ± {scale * deviation:.{digits}f}"
            for name, deviation in (
                ("raters", self.raters),
                ("photographs", self.photographs),
                ("an arm's suitability to a photograph", self.likes),
                ("seeds", self.seeds),
            )
        ]
        return f"{mean}; {', '.join(differ)} points"


OPINION = Assumptions(mean=3.0, raters=0.4, photographs=0.4, likes=0.4, seeds=0.1, noise=0.8)


def assumed(test: TestName) -> Assumptions:
    """The assumptions for a test of which nothing is known.

    Raises:
        ColourbenchError: there are none for this test.
    """
    if test == "preference":
        raise ColourbenchError(
            "a plan is for --test pair, single or opinion; a preference needs about as many answers as a pair"
        )
    return OPINION if test == "opinion" else Assumptions()


def from_pilot(answers: pd.DataFrame, test: TestName) -> Assumptions:
    """The assumptions that a pilot's answers suggest: variances between groups, less what single answers add by chance.

    Raises:
        ColourbenchError: the pilot was another test, or has fewer than two raters, photographs or arms with answered test trials.
    """
    assumed(test)
    table = _pilot_trials(answers, test)
    arm_means = table.groupby("arm")["value"].transform("mean")
    centred = table.assign(value=table["value"] - arm_means)
    photographs = _shared(centred, same=["image"], other=["arm", "rater"])
    likes = max(_shared(centred, same=["image", "arm"], other=["rater"]) - photographs, 0.0)
    raters = _shared(centred, same=["rater"], other=["image"])
    seeds = _seed_variance(centred)
    total = float(centred["value"].var())
    rest = max(total - raters - photographs - likes - seeds, 0.0)
    return Assumptions(
        mean=float(table["value"].mean()),
        raters=raters**0.5,
        photographs=photographs**0.5,
        likes=likes**0.5,
        seeds=seeds**0.5,
        noise=rest**0.5 if test == "opinion" else 0.0,
    )


def _pilot_trials(answers: pd.DataFrame, test: TestName) -> pd.DataFrame:
    """The pilot's judged test trials of the arms; a seed that is not known is 0."""
    if not answers["response"].astype(str).isin(PROTOCOLS[test].answers).all():
        raise ColourbenchError(f"the pilot's answers are not those of --test {test}")
    table = judged_trials(answers, test)
    table = table[table["arm"] != TRUTH].assign(seed=lambda t: t["seed"].fillna(0))
    if min(table[name].nunique() for name in ("rater", "image", "arm")) < 2:
        raise ColourbenchError(
            "a pilot needs test trials of two raters, two photographs and two arms at least"
        )
    return table


def _seed_variance(centred: pd.DataFrame) -> float:
    """What answers about one seed share beyond what answers about two seeds of an arm share."""
    if centred.groupby("arm")["seed"].nunique().max() < 2:
        return 0.0
    of_one_seed = _shared(centred, same=["arm", "seed"], other=["image", "rater"])
    of_others = _shared(centred, same=["arm"], other=["seed", "image", "rater"])
    return max(of_one_seed - of_others, 0.0)


def _shared(table: pd.DataFrame, same: Sequence[str], other: Sequence[str]) -> float:
    """The variance that answers share which agree in `same` and differ in all of `other`: the mean product of such pairs.

    Pairs that agree in one of `other` are taken out by inclusion and exclusion, so that no other effect leaks in. 0 without
    pairs, and never below.
    """
    total = 0.0
    pairs = 0
    for size in range(len(other) + 1):
        for also in combinations(other, size):
            groups = table.groupby([*same, *also])["value"]
            sums = groups.sum()
            counts = groups.size()
            products = float((sums**2).sum() - (table["value"] ** 2).sum())
            total += (-1) ** size * products
            pairs += (-1) ** size * int((counts * (counts - 1)).sum())
    return max(total / pairs, 0.0) if pairs > 0 else 0.0


def power(
    design: Design,
    photographs: int,
    arms: int,
    seeds: int,
    difference: float,
    people: Assumptions,
    studies: int,
    seed: int = 0,
) -> float:
    """The share of simulated studies that call two arms different, one of which is better by `difference`.

    By the criterion of the last look, at the planned number of raters, after Holm's correction over all pairs of arms.
    """
    names = [f"arm {number}" for number in range(arms)]
    schedule = Schedule(
        design,
        [str(k) for k in range(photographs)],
        {name: range(seeds) for name in names},
        f"plan {seed}",
    )
    trials = [trial for trial in schedule.plan() if trial.kind == "test" and trial.arm != TRUTH]
    table = pd.DataFrame(
        {
            name: [getattr(trial, name) for trial in trials]
            for name in ("rater", "image", "arm", "seed")
        }
    )
    regression = Regression(table, names, effects=True)
    draw = np.random.default_rng([seed, design.raters])
    detected = [
        _p(regression, arms, answers) < AT_THE_END
        for answers in simulate(trials, names, difference, people, studies, draw)
    ]
    return float(np.mean(detected))


def _p(regression: Regression, arms: int, answers: np.ndarray) -> float:
    """The p-value of the first two arms after Holm's correction; 1 where so few answers do not separate arms from raters."""
    fitted = regression.fit(answers)
    contrasts = [np.eye(arms)[j] - np.eye(arms)[i] for i, j in combinations(range(arms), 2)]
    if fitted.method != CLUSTERED or not fitted.can_estimate(contrasts[0]):
        return 1.0
    known = [contrast for contrast in contrasts if fitted.can_estimate(contrast)]
    p = [t_test(float(contrast @ fitted.means), *fitted.error(contrast))["p"] for contrast in known]
    return holm(p)[0]


def _effect(draw: np.random.Generator, *groups: np.ndarray) -> np.ndarray:
    """Of each trial: the standard normal effect of its cell among the crossed groups."""
    cells: np.ndarray = draw.normal(size=tuple(group.max() + 1 for group in groups))
    effect: np.ndarray = cells[groups]
    return effect


def simulate(
    trials: Sequence[Trial],
    arms: Sequence[str],
    difference: float,
    people: Assumptions,
    studies: int,
    draw: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yields the answers to the trials in simulated studies; the second arm is better by `difference`."""
    rater = pd.factorize(np.array([trial.rater for trial in trials]))[0]
    image = pd.factorize(np.array([trial.image for trial in trials]))[0]
    arm = np.array([arms.index(trial.arm) for trial in trials])
    seed = np.array([trial.seed or 0 for trial in trials])
    for _ in range(studies):
        expected = people.mean + difference * (arm == 1)
        expected = expected + people.raters * _effect(draw, rater)
        expected = expected + people.photographs * _effect(draw, image)
        expected = expected + people.likes * _effect(draw, image, arm)
        expected = expected + people.seeds * _effect(draw, arm, seed)
        yield _answered(expected, people.noise, draw)


def _answered(expected: np.ndarray, noise: float, draw: np.random.Generator) -> np.ndarray:
    """Scores from 1 to 5 where single answers have noise, and otherwise 1 with the expected probability."""
    if noise:
        scores: np.ndarray = expected + noise * draw.normal(size=len(expected))
        return scores.round().clip(1, 5)
    is_one: np.ndarray = draw.random(len(expected)) < expected.clip(0.01, 0.99)
    return is_one.astype(float)


def raters_needed(
    design: Design,
    photographs: int,
    arms: int,
    seeds: int,
    difference: float,
    people: Assumptions,
    studies: int = 200,
    seed: int = 0,
) -> Iterator[tuple[int, float]]:
    """Yields rising numbers of raters with their power, and ends where it is enough or where more raters are not realistic."""
    for raters in RATERS:
        reached = power(
            replace(design, raters=raters),
            photographs,
            arms,
            seeds,
            difference,
            people,
            studies,
            seed,
        )
        yield raters, reached
        if reached >= ENOUGH:
            return

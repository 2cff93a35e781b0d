"""How many raters see a difference: power by simulating the study that would be run, with its schedule and its analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.ratings.answers.clustered import CLUSTERED, Regression
from analysis.ratings.answers.tables import judged, judged_trials
from analysis.ratings.design import PROTOCOLS, TRUTH, Design, TestName, Trial
from analysis.ratings.schedule import Schedule
from common.errors import ColourbenchError

RATERS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240)
ENOUGH = 0.80
LEVEL = 0.05


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


OPINION = Assumptions(mean=3.0, raters=0.4, photographs=0.4, likes=0.4, seeds=0.1, noise=0.8)


def assumed(test: TestName) -> Assumptions:
    """The assumptions for a test of which nothing is known.

    Raises:
        ColourbenchError: there are none for this test.
    """
    if test == "preference":
        raise ColourbenchError("a plan is for --test pair, single or opinion; a preference needs about as many answers as a pair")
    return OPINION if test == "opinion" else Assumptions()


def from_pilot(answers: pd.DataFrame, test: TestName) -> Assumptions:
    """The assumptions that a pilot's answers suggest: variances between groups, less what single answers add by chance.

    Raises:
        ColourbenchError: the pilot was another test, or has fewer than two raters, photographs or arms with answered test trials.
    """
    assumed(test)
    if not answers["response"].astype(str).isin(PROTOCOLS[test].answers).all():
        raise ColourbenchError(f"the pilot's answers are not those of --test {test}")
    table = judged_trials(answers, test)
    table = table[table["arm"] != TRUTH].assign(seed=lambda t: t["seed"].fillna(0))
    if min(table[name].nunique() for name in ("rater", "image", "arm")) < 2:
        raise ColourbenchError("a pilot needs test trials of two raters, two photographs and two arms at least")
    centred = table.assign(value=table["value"] - table.groupby("arm")["value"].transform("mean"))
    noise = float(centred["value"].var())
    between = {name: _between(centred, columns, noise) for name, columns in _GROUPS.items()}
    likes = max(between["likes"] - between["photographs"], 0.0)
    rest = max(noise - between["raters"] - between["photographs"] - likes - between["seeds"], 0.0)
    deviations = {name: between[name] ** 0.5 for name in ("raters", "photographs", "seeds")}
    return Assumptions(float(table["value"].mean()), **deviations, likes=likes**0.5, noise=rest**0.5 if test == "opinion" else 0.0)


_GROUPS = {"raters": ["rater"], "photographs": ["image"], "likes": ["image", "arm"], "seeds": ["arm", "seed"]}


def _between(table: pd.DataFrame, columns: list[str], noise: float) -> float:
    groups = table.groupby(columns)["value"].agg(["mean", "size"])
    return max(float(groups["mean"].var(ddof=1)) - noise * float((1 / groups["size"]).mean()), 0.0) if len(groups) > 1 else 0.0


def power(
    design: Design, photographs: int, arms: int, seeds: int, difference: float, people: Assumptions, studies: int, seed: int = 0
) -> float:
    """The share of simulated studies that call two arms different, one of which is better by `difference`, at 5 %."""
    names = [f"arm {number}" for number in range(arms)]
    schedule = Schedule(design, [str(k) for k in range(photographs)], {name: range(seeds) for name in names}, f"plan {seed}")
    trials = [trial for trial in schedule.plan() if trial.kind == "test" and trial.arm != TRUTH]
    table = pd.DataFrame({name: [getattr(trial, name) for trial in trials] for name in ("rater", "image", "arm", "seed")})
    regression, contrast = Regression(table, names, effects=True), np.eye(arms)[1] - np.eye(arms)[0]
    draw = np.random.default_rng([seed, design.raters])
    detected = [_p(regression, contrast, answers) < LEVEL for answers in simulate(trials, names, difference, people, studies, draw)]
    return float(np.mean(detected))


def _p(regression: Regression, contrast: np.ndarray, answers: np.ndarray) -> float:
    fitted = regression.fit(answers)
    if fitted.method != CLUSTERED or not fitted.can_estimate(contrast):
        return 1.0  # so few answers tell arms, raters and photographs not apart
    return judged(float(contrast @ fitted.means), *fitted.error(contrast))["p"]


def simulate(
    trials: Sequence[Trial], arms: Sequence[str], difference: float, people: Assumptions, studies: int, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields the answers to the trials in simulated studies; the second arm is better by `difference`."""
    raters, images = (pd.factorize(np.array([getattr(t, name) for t in trials]))[0] for name in ("rater", "image"))
    arm = np.array([arms.index(trial.arm) for trial in trials])
    seed = np.array([trial.seed or 0 for trial in trials])
    for _ in range(studies):
        expected = people.mean + difference * (arm == 1)
        expected = expected + people.raters * draw.normal(size=raters.max() + 1)[raters]
        expected = expected + people.photographs * draw.normal(size=images.max() + 1)[images]
        expected = expected + people.likes * draw.normal(size=(images.max() + 1, len(arms)))[images, arm]
        expected = expected + people.seeds * draw.normal(size=(len(arms), seed.max() + 1))[arm, seed]
        if people.noise:
            yield np.clip(np.round(expected + people.noise * draw.normal(size=len(trials))), 1, 5)
        else:
            yield (draw.random(len(trials)) < np.clip(expected, 0.01, 0.99)).astype(float)


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
        reached = power(replace(design, raters=raters), photographs, arms, seeds, difference, people, studies, seed)
        yield raters, reached
        if reached >= ENOUGH:
            return

"""People steer a sweep: they judge blinded pairs of its trials' photographs, and what they prefer proposes the next settings.

The sweep runs in rounds. After each, its new trials and the best known ones are a human study of their own: a preference test on
the same page, with photographs of the validation split. The next call of the command fits Bradley-Terry worths to all rounds'
answers, and a Gaussian process over settings proposes the trials of the next round (Optuna's GPSampler on the worths).
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from analysis.evaluation import splits
from analysis.people import preference
from analysis.people.design import PROTOCOLS, Design
from analysis.people.rates import judged_trials, kept
from analysis.people.schedule import trials_that_fit
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.system.names import KEY
from studies.home import Home
from studies.people.pictures import Material, Photographs
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy
from studies.runs.model import load_run
from studies.sweeps.launcher import run_sweep
from studies.sweeps.spaces import suggest
from studies.sweeps.sweep import Sweep, open_study
from studies.sweeps.worker import Say
from variants.contract.ranges import Space

PHOTOGRAPHS = 60  # of the validation split, at most
TRIALS = 30  # of a rater's block, at most
# best trials that are judged again beside new ones, so that rounds are on one scale
KNOWN = 3
# a worth beyond it is of a trial that always won or lost; how far is not known
FARTHEST = 4.0

Worths = dict[int, float]  # of each judged trial


def run(
    home: Home, sweep: Sweep, say: Say = print, workers: int = 1, hours: float | None = None
) -> FrozenTrial | None:
    """Runs the trials that are missing, proposed by people where there are answers, and begins a round for the new ones.

    Returns:
        The trial that people prefer, or None before there are answers.

    Raises:
        ColourbenchError: the last round has no answer yet, so that nobody can say what to try next.
    """
    dataset = home.dataset(sweep.base.dataset)
    study = open_study(home, sweep, dataset)
    earlier = rounds(home, sweep.name)
    worth_by_trial = worths(earlier)
    _propose(study, sweep, worth_by_trial, len(earlier), say)
    run_sweep(home, sweep, say, workers, hours)
    _begin_round(home, sweep, dataset, study, worth_by_trial, say)
    if not worth_by_trial:
        return None
    liked = max(worth_by_trial, key=lambda number: worth_by_trial[number])
    best = next(
        trial
        for trial in study.trials
        if trial.user_attrs.get("run") == liked and trial.state == TrialState.COMPLETE
    )
    study.set_user_attr("winner", best.number)  # what `best_of` of a study takes
    return best


def rounds(home: Home, name: str) -> list[RatingStudy]:
    """The human studies of a sweep, the first first."""
    human_studies = []
    number = 1
    while (_round(home, name, number) / KEY).exists():
        human_studies.append(RatingStudy(_round(home, name, number)))
        number += 1
    return human_studies


def worths(human_studies: Sequence[RatingStudy]) -> Worths:
    """The worth of each judged trial from the answers of all rounds, without rejected raters; empty before there are any."""
    answers = [ResponseStore(study.database).table() for study in human_studies]
    good = [kept(table, "preference") for table in answers if (table["kind"] == "test").any()]
    tests = [
        judged_trials(table, "preference") for table in good if (table["kind"] == "test").any()
    ]
    return worths_of(pd.concat(tests, ignore_index=True)) if tests else {}


def worths_of(table: pd.DataFrame) -> Worths:
    """The worth of each trial from judged pairs: columns arm and other, which name trials, and value."""
    fitted = preference.fit(table["arm"].tolist(), table["other"].tolist(), table["value"].tolist())
    return {
        _number(arm): float(np.clip(worth, -FARTHEST, FARTHEST))
        for arm, worth in zip(fitted.arms, fitted.worth, strict=True)
    }


def proposals(
    space: Space, known: Sequence[FrozenTrial], worth_by_trial: Worths, count: int, seed: int
) -> list[dict[str, object]]:
    """Settings to try next: where the Gaussian process over the judged trials' worths expects the most improvement.

    Several are proposed one after the other; each that was proposed counts as if it were worth the mean of the others.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=0)
    model = optuna.create_study(direction="maximize", sampler=sampler)
    for judged in known:
        if (worth := worth_by_trial.get(judged.user_attrs["run"])) is not None:
            past = optuna.trial.create_trial(
                params=judged.params, distributions=judged.distributions, value=worth
            )
            model.add_trial(past)
    mean = float(np.mean(list(worth_by_trial.values())))
    proposed = []
    for _ in range(count):
        trial = model.ask()
        proposed.append(suggest(space, trial))
        model.tell(trial, mean)
    return proposed


def _propose(
    study: optuna.Study, sweep: Sweep, worth_by_trial: Worths, rounds_so_far: int, say: Say
) -> None:
    """Queues the trials that people's answers propose; the first round takes the sweep's own."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    missing = sweep.trials - sum(state != TrialState.FAIL for state in states)
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if missing <= 0 or not complete:
        return
    unjudged = [trial for trial in complete if trial.user_attrs["run"] not in worth_by_trial]
    if unjudged:
        raise ColourbenchError(
            f"nobody whose answers count has judged {len(unjudged)} trials of {sweep.name} yet; serve their round, "
            f"colourbench ratings serve {_round_name(sweep.name, rounds_so_far)}, before you ask for more trials"
        )
    for settings in proposals(sweep.search_space(), complete, worth_by_trial, missing, len(states)):
        study.enqueue_trial(settings)
    say(f"{missing} trials are proposed by what people preferred")


def _begin_round(
    home: Home,
    sweep: Sweep,
    dataset: Dataset,
    study: optuna.Study,
    worth_by_trial: Worths,
    say: Say,
) -> None:
    """Makes the human study of the trials that nobody has judged, with the best known ones beside them."""
    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    complete = {trial.user_attrs["run"]: trial for trial in trials}
    earlier = rounds(home, sweep.name)
    asked = {_number(arm) for one in earlier for arm in one.key.arms}
    new = sorted(set(complete) - asked)
    if not new:
        if earlier:
            last = _round_name(sweep.name, len(earlier))
            say(f"colourbench ratings serve {last}   # more answers to the last round")
        return
    best = sorted(worth_by_trial, key=lambda number: -worth_by_trial[number])[:KNOWN]
    arms = [*new, *(number for number in best if number in complete)]
    if len(arms) < 2:
        raise ColourbenchError(
            f"people compare trials, and {sweep.name} has one only; raise --trials"
        )
    shown = {arm: complete[arm] for arm in arms}
    name = _make_round(home, sweep, dataset, shown, len(earlier) + 1)
    say(f"{len(arms)} trials wait for people. {PROTOCOLS['preference'].question}")
    say(f"colourbench ratings serve {name}")


def _make_round(
    home: Home,
    sweep: Sweep,
    dataset: Dataset,
    shown: Mapping[int, optuna.trial.FrozenTrial],
    number: int,
) -> str:
    """Makes the human study of a round, and returns its name."""
    name = _round_name(sweep.name, number)
    photographs = _material(home, name, dataset, shown)
    questions = trials_that_fit(len(photographs.names), TRIALS)
    design = Design("preference", 0, questions, seed=sweep.base.seed)
    RatingStudy.create(photographs, design, _round(home, sweep.name, number))
    return name


def _material(
    home: Home, name: str, dataset: Dataset, trials: Mapping[int, FrozenTrial]
) -> Material:
    """Validation photographs as each trial's generator colours them."""
    split = dataset.split("validation")
    places = split.spread(PHOTOGRAPHS)
    truth = np.empty((0, 0, 0, 3), np.uint8)
    arms = {}
    for number, trial in trials.items():
        colouriser, _ = load_run(home.store.run(trial.user_attrs["mlflow_run"]))
        batches = list(splits.colourised(colouriser, split, places, colouriser.engine.device))
        arms[_arm(number)] = {0: _photographs([made for _, made, _ in batches])}
        truth = _photographs([real for _, _, real in batches])
    entries = split.entries()
    names = [f"{entries[place].photograph}#{entries[place].tile}" for place in places]
    return Material(name, names, truth, arms, tuple(arms))


def _photographs(parts: Sequence[Tensor]) -> Photographs:
    return np.ascontiguousarray(
        np.concatenate([part.permute(0, 2, 3, 1).cpu().numpy() for part in parts])
    )


def _arm(number: int) -> str:
    return f"trial {number:03d}"


def _number(arm: str) -> int:
    return int(arm.removeprefix("trial "))


def _round_name(sweep: str, number: int) -> str:
    return f"{sweep}-round-{number}"


def _round(home: Home, sweep: str, number: int) -> Path:
    return home.ratings(_round_name(sweep, number))

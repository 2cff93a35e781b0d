"""What a sweep found: its trials ranked, the winner, and the winner's settings."""

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from common.config import assign
from common.errors import ColourbenchError
from studies.home import Home
from studies.sweeps.sweep import load


def best_trial(study: optuna.Study) -> FrozenTrial:
    """Returns the winner over seeds if there were repeats, else the feasible trial that is best in the first objective.

    Raises:
        ColourbenchError: no trial is complete.
    """
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    if "winner" in study.user_attrs:
        return trials[study.user_attrs["winner"]]
    ranked = ranking(study)
    if not ranked:
        raise ColourbenchError(f"the sweep {study.study_name!r} has no completed trial yet")
    return ranked[0]


def ranking(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the complete feasible trials, sorted by the first objective with the best first."""
    complete = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.COMPLETE and is_feasible(trial)
    ]
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether the trial stayed within the sweep's limits."""
    return all(value <= 0 for value in trial.user_attrs.get("limits", {}).values())


@dataclass(frozen=True)
class Tuned:
    """What a finished sweep found: the best values of the fields that it varied, and what the search cost."""

    sweep: str
    fields: dict[str, Any]
    base: dict[str, Any]  # the settings of a run that all trials shared
    dataset_sha256: str
    trials: int
    images: float  # of all trials together
    hours: float

    def record(self) -> dict[str, Any]:
        """The cost of the search, for the study's record."""
        return {
            "sweep": self.sweep,
            "trials": self.trials,
            "images": self.images,
            "hours": self.hours,
        }


def tuned(home: Home, name: str, storage: str = "") -> Tuned:
    """Returns what a sweep found.

    Raises:
        ColourbenchError: there is no such sweep, or it has not finished its trials.
    """
    study = load(home, name, storage)
    ended = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])
    wanted = int(study.user_attrs.get("trials", len(ended)))
    if len(ended) < wanted:
        raise ColourbenchError(
            f"the sweep {name!r} has {len(ended)} of {wanted} trials; the same `colourbench sweep` goes on with it"
        )
    fields: dict[str, Any] = {}
    for path, value in best_trial(study).params.items():
        assign(fields, path, value)
    base = study.user_attrs["base"]
    seconds = [trial.duration.total_seconds() for trial in ended if trial.duration]
    return Tuned(
        sweep=name,
        fields=fields,
        base=base,
        dataset_sha256=study.user_attrs["dataset_sha256"],
        trials=len(ended),
        images=sum(_images(trial, base["budget"]["amount"]) for trial in ended),
        hours=sum(seconds) / 3600,
    )


def untuned(sweep: str) -> Tuned:
    """What is known of a sweep that need not have run: nothing, so that an arm keeps its own settings."""
    return Tuned(sweep, fields={}, base={}, dataset_sha256="", trials=0, images=0, hours=0)


def _images(trial: FrozenTrial, amount: float) -> float:
    """The images that a trial drew: all of its budget, or up to where it was pruned."""
    return (
        amount
        if trial.state == TrialState.COMPLETE
        else float(max(trial.intermediate_values, default=0))
    )

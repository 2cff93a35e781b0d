"""What a sweep found: its trials ranked, the winner, and the winner's settings."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from common.config import assign, override
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
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE and is_feasible(trial)]
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether the trial stayed within the sweep's limits."""
    return all(value <= 0 for value in trial.user_attrs.get("limits", {}).values())


def best_fields(home: Home, name: str, storage: str = "") -> dict[str, Any]:
    """Returns the variant's fields that a sweep found best: its base settings with the best trial's values.

    Raises:
        ColourbenchError: there is no such sweep, or it has no finished trial.
    """
    study = load(home, name, storage)
    fields = override(study.user_attrs["base"], [])
    for path, value in best_trial(study).params.items():
        assign(fields, path, value)
    return {"variant": fields["variant"]}  # batches, device and the rest are the study's, equal for all its arms

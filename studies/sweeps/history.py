"""A sweep's history: as text, and as a page with pictures."""

from pathlib import Path

import optuna
import pandas as pd

from analysis.sweep_figures import DONE, PRUNED, Trials
from analysis.sweep_page import write_sweep
from studies.home import Home
from studies.sweeps import sweep


def text(home: Home, name: str | None, storage: str = "") -> str:
    """One line a trial, the best marked; without a name, one line a sweep."""
    if name is None:
        return "\n".join(_summary(sweep.load(home, item, storage)) for item in sweep.names(home, storage)) or "no sweep yet"
    study = sweep.load(home, name, storage)
    finished = sweep.ranking(study)
    best = sweep.best_trial(study).number if finished else None
    lines = [_line(trial, trial.number == best) for trial in study.trials if trial.state != optuna.trial.TrialState.WAITING]
    return "\n".join([_summary(study), *lines])


def _summary(study: optuna.Study) -> str:
    states = [trial.state.name.lower() for trial in study.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trial"
    return f"{study.study_name}: {counts}; objectives: {', '.join(study.user_attrs.get('objectives', ['?']))}"


def _line(trial: optuna.trial.FrozenTrial, best: bool) -> str:
    values = "  ".join(f"{path.removeprefix('variant.')}={_short(value)}" for path, value in trial.params.items())
    result = " ".join(f"{value:.4f}" for value in trial.values or [])
    mark = "" if sweep.is_feasible(trial) else "  (beyond the limits)"
    return f"{'*' if best else ' '} {trial.number:>4}  {trial.state.name.lower():<9} {result:>9}  {values}{mark}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def page(home: Home, name: str, storage: str = "") -> Path:
    """Writes the sweep's page and returns its path."""
    study = sweep.load(home, name, storage)
    best = sweep.best_trial(study)
    figures = ", ".join(f"{title} {value:.4g}" for title, value in zip(_objectives(study), best.values, strict=True))
    winner = f"Best: trial {best.user_attrs['run']:03d} with {figures}."
    return write_sweep(trials_of(study), f"{_summary(study)}. {winner}", home.report(name))


def trials_of(study: optuna.Study) -> Trials:
    """The sweep as tables; trials that were tried again count once."""
    names = {optuna.trial.TrialState.COMPLETE: DONE, optuna.trial.TrialState.PRUNED: PRUNED}
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state in names]
    fields = list(dict.fromkeys(path for trial in ended for path in trial.params))
    objectives = _objectives(study)
    rows = [
        {"trial": trial.user_attrs["run"], "state": names[trial.state]}
        | dict(zip(objectives, trial.values or [float("nan")] * len(objectives), strict=True))
        | trial.params
        for trial in ended
    ]
    curves = [
        {"trial": trial.user_attrs["run"], "images": images, "value": value}
        for trial in ended
        for images, value in trial.intermediate_values.items()
    ]
    return Trials(
        name=study.study_name,
        objectives=objectives,
        fields=fields,
        table=pd.DataFrame(rows, columns=["trial", "state", *objectives, *fields]),
        curves=pd.DataFrame(curves, columns=["trial", "images", "value"]),
        importance=_importance(study),
        front=[trial.user_attrs["run"] for trial in study.best_trials] if len(objectives) > 1 else [],
    )


def _objectives(study: optuna.Study) -> dict[str, str]:
    directions = [direction.name.lower() for direction in study.directions]
    return dict(zip(study.user_attrs["objectives"], directions, strict=True))


def _importance(study: optuna.Study) -> dict[str, float]:
    """Empty with too few trials to tell."""
    try:
        # named, for the default one judges low values alone, whatever the direction
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=judge, target=lambda trial: trial.values[0]))
    except (ValueError, RuntimeError):
        return {}

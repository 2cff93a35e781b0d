"""A sweep's history as text."""

import optuna

from studies import sweep
from studies.home import Home


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

"""The progress and results of a sweep: a live table, text, and a page with figures."""

import sys
from datetime import datetime
from pathlib import Path
from types import TracebackType

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from analysis.figures.sweep_figures import DONE, PRUNED, Trials
from analysis.report.sweep_page import write_sweep
from common.errors import ColourbenchError
from studies.home import Home
from studies.sweeps import sweep
from studies.sweeps.claims import FINAL
from studies.sweeps.outcome import best_trial, is_feasible, ranking

ENDED_SHOWN = 8  # the newest ended trials; the rest is in `colourbench sweeps NAME`


class Board:
    """The live table on a terminal, redrawn by `draw`; shows nothing if the output goes to a file."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        console = Console(file=sys.stdout)
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> "Board":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def draw(self) -> None:
        """Shows the sweep's current state."""
        if self._live:
            self._live.update(table(self._study), refresh=True)


def table(study: optuna.Study) -> Table:
    """Returns a table of the running trials and their hosts, the newest results, and the best one, marked *.

    Raises:
        ColourbenchError: the Optuna study is not a sweep of this suite.
    """
    if not {"objectives", "base"} <= set(study.user_attrs):
        raise ColourbenchError(
            f"{study.study_name!r} is no sweep of colourbench, or is just being made"
        )
    trials = study.get_trials(deepcopy=False)
    best = best_trial(study).number if ranking(study) else None
    ended = sorted(
        (trial for trial in trials if trial.state in FINAL),
        key=lambda trial: trial.datetime_complete or datetime.max,
    )
    shown = Table(
        title=study.study_name,
        caption=_counts(study, trials),
        title_justify="left",
        caption_justify="left",
    )
    for column in (
        "trial",
        "state",
        "progress",
        ", ".join(study.user_attrs["objectives"]),
        "time",
        "worker",
    ):
        shown.add_column(column, justify="right" if column in ("progress", "time") else "left")
    newest = [
        trial
        for i, trial in enumerate(ended)
        if i >= len(ended) - ENDED_SHOWN or trial.number == best
    ]
    for trial in [*newest, *(trial for trial in trials if trial.state == TrialState.RUNNING)]:
        shown.add_row(*_row(study, trial, trial.number == best))
    return shown


def _counts(study: optuna.Study, trials: list[FrozenTrial]) -> str:
    states = [trial.state for trial in trials]
    ended = sum(state in FINAL for state in states)
    wanted = study.user_attrs.get("trials", "?")
    pruned, running, failed = (
        states.count(state) for state in (TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
    )
    return f"{ended} of {wanted} trials ended ({pruned} of them pruned), {running} running; {failed} failed or tried again"


def _row(study: optuna.Study, trial: FrozenTrial, is_best: bool) -> list[str]:
    amount = study.user_attrs["base"]["budget"]["amount"]
    # nothing is reported where nothing is pruned
    reported = max(trial.intermediate_values, default=0)
    done = amount if trial.state == TrialState.COMPLETE else reported
    values = trial.values or ([trial.intermediate_values[reported]] if reported else [])
    figures = ", ".join(f"{value:.4g}" for value in values) + (
        "" if is_feasible(trial) else " beyond the limits"
    )
    host, process, _ = trial.user_attrs.get("owner", ["", "", ""])
    number = f"{'*' if is_best else ' '} {trial.user_attrs.get('run', trial.number):03d}"
    share = f"{done / amount:.0%}" if done else ""
    return [number, trial.state.name.lower(), share, figures, _elapsed(trial), f"{host} {process}"]


def _elapsed(trial: FrozenTrial) -> str:
    if trial.datetime_start is None:
        return ""
    seconds = int(
        ((trial.datetime_complete or datetime.now()) - trial.datetime_start).total_seconds()
    )
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def text(home: Home, name: str | None, storage: str = "") -> str:
    """Returns one line for each trial, the best marked; without a name, one line for each sweep."""
    if name is None:
        return (
            "\n".join(
                _summary(sweep.load(home, item, storage)) for item in sweep.names(home, storage)
            )
            or "no sweep yet"
        )
    study = sweep.load(home, name, storage)
    finished = ranking(study)
    best = best_trial(study).number if finished else None
    lines = [
        _line(trial, trial.number == best)
        for trial in study.trials
        if trial.state != TrialState.WAITING
    ]
    return "\n".join([_summary(study), *lines])


def _summary(study: optuna.Study) -> str:
    states = [trial.state.name.lower() for trial in study.trials]
    counts = (
        ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trial"
    )
    return f"{study.study_name}: {counts}; objectives: {', '.join(study.user_attrs.get('objectives', ['?']))}"


def _line(trial: FrozenTrial, best: bool) -> str:
    values = "  ".join(
        f"{path.removeprefix('variant.')}={_short(value)}" for path, value in trial.params.items()
    )
    result = " ".join(f"{value:.4f}" for value in trial.values or [])
    mark = "" if is_feasible(trial) else "  (beyond the limits)"
    return f"{'*' if best else ' '} {trial.number:>4}  {trial.state.name.lower():<9} {result:>9}  {values}{mark}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def page(home: Home, name: str, storage: str = "") -> Path:
    """Writes the sweep's page and returns its path."""
    study = sweep.load(home, name, storage)
    best = best_trial(study)
    figures = ", ".join(
        f"{title} {value:.4g}" for title, value in zip(_objectives(study), best.values, strict=True)
    )
    winner = f"Best: trial {best.user_attrs['run']:03d} with {figures}."
    return write_sweep(trials_of(study), f"{_summary(study)}. {winner}", home.report(name))


def trials_of(study: optuna.Study) -> Trials:
    """Returns the sweep as tables; a trial that was tried again counts once."""
    names = {TrialState.COMPLETE: DONE, TrialState.PRUNED: PRUNED}
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
        front=[trial.user_attrs["run"] for trial in study.best_trials]
        if len(objectives) > 1
        else [],
    )


def _objectives(study: optuna.Study) -> dict[str, str]:
    directions = [direction.name.lower() for direction in study.directions]
    return dict(zip(study.user_attrs["objectives"], directions, strict=True))


def _importance(study: optuna.Study) -> dict[str, float]:
    """Returns the importance of each field; empty if there are too few trials to tell."""
    try:
        # set explicitly, since the default one considers low values only, whatever the direction
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(
            optuna.importance.get_param_importances(
                study, evaluator=judge, target=lambda trial: trial.values[0]
            )
        )
    except (ValueError, RuntimeError):
        return {}

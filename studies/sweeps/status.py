"""How a sweep stands, as a table: for `sweep --status`, and live on the terminal of one who waits."""

import sys
from datetime import datetime
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from common.errors import ColourbenchError
from studies.sweeps.claims import FINAL
from studies.sweeps.sweep import best_trial, is_feasible, ranking

ENDED_SHOWN = 8  # the newest ended trials; the rest is in `colourbench sweeps NAME`


class Board:
    """The table on a terminal, redrawn when told; nothing where the output goes to a file."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        console = Console(file=sys.stdout)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "Board":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def draw(self) -> None:
        """Shows how the sweep stands now."""
        if self._live:
            self._live.update(table(self._study), refresh=True)


def table(study: optuna.Study) -> Table:
    """What runs and where, the newest results, and the best one, marked *.

    Raises:
        ColourbenchError: the study is none of this suite.
    """
    if not {"objectives", "base"} <= set(study.user_attrs):
        raise ColourbenchError(f"{study.study_name!r} is no sweep of colourbench, or is just being made")
    trials = study.get_trials(deepcopy=False)
    best = best_trial(study).number if ranking(study) else None
    ended = sorted((trial for trial in trials if trial.state in FINAL), key=lambda trial: trial.datetime_complete or datetime.max)
    shown = Table(title=study.study_name, caption=_counts(study, trials), title_justify="left", caption_justify="left")
    for column in ("trial", "state", "progress", ", ".join(study.user_attrs["objectives"]), "time", "worker"):
        shown.add_column(column, justify="right" if column in ("progress", "time") else "left")
    newest = [trial for i, trial in enumerate(ended) if i >= len(ended) - ENDED_SHOWN or trial.number == best]
    for trial in [*newest, *(trial for trial in trials if trial.state == TrialState.RUNNING)]:
        shown.add_row(*_row(study, trial, trial.number == best))
    return shown


def _counts(study: optuna.Study, trials: list[FrozenTrial]) -> str:
    states = [trial.state for trial in trials]
    ended, wanted = sum(state in FINAL for state in states), study.user_attrs.get("trials", "?")
    pruned, running, failed = (states.count(state) for state in (TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL))
    return f"{ended} of {wanted} trials ended ({pruned} of them pruned), {running} running; {failed} failed or tried again"


def _row(study: optuna.Study, trial: FrozenTrial, is_best: bool) -> list[str]:
    amount = study.user_attrs["base"]["budget"]["amount"]
    reported = max(trial.intermediate_values, default=0)  # nothing is reported where nothing is pruned
    done = amount if trial.state == TrialState.COMPLETE else reported
    values = trial.values or ([trial.intermediate_values[reported]] if reported else [])
    figures = ", ".join(f"{value:.4g}" for value in values) + ("" if is_feasible(trial) else " beyond the limits")
    host, process, _ = trial.user_attrs.get("owner", ["", "", ""])
    number = f"{'*' if is_best else ' '} {trial.user_attrs.get('run', trial.number):03d}"
    share = f"{done / amount:.0%}" if done else ""
    return [number, trial.state.name.lower(), share, figures, _elapsed(trial), f"{host} {process}"]


def _elapsed(trial: FrozenTrial) -> str:
    if trial.datetime_start is None:
        return ""
    seconds = int(((trial.datetime_complete or datetime.now()) - trial.datetime_start).total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

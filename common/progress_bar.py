"""How a run looks to somebody who waits: a bar on a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from common.engine import is_first_rank
from common.training import Budget, Losses, Progress


class ProgressBar:
    """Shows a run's progress in its budget's unit, its speed, and the latest validation."""

    def __init__(self, name: str, budget: Budget, progress: Progress) -> None:
        self._name, self._budget = name, budget
        self._console = Console(file=sys.stderr, quiet=not is_first_rank())
        self._first, self._started = progress.images, time.monotonic()
        self._note = ""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = RichProgress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(name, total=budget.amount, completed=int(progress.count(budget.unit)), note="")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress, losses: Losses) -> None:
        speed = (progress.images - self._first) / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, completed=progress.count(self._budget.unit), note=f"{speed:.0f} images/s {self._note}")

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False)

    def show(self, progress: Progress, metrics: dict[str, float]) -> None:
        """Shows a validation's figures; in a log each is a line."""
        self._note = f"ΔE {metrics['delta_e']:.2f}, colourfulness {metrics['colourfulness']:.1f}"
        if not self._console.is_terminal:
            done = progress.count(self._budget.unit)
            self.say(f"{done:,.0f} of {self._budget.amount:,.0f} {self._budget.unit}, {self._note}")

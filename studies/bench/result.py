"""The result of a benchmark, as a record and as a table."""

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from studies.bench.timing import Alternated


@dataclass(frozen=True)
class Side:
    """One implementation: median seconds, images (or other items) per second, GFLOP/s, share of the matrix rate, peak GB."""

    name: str
    seconds: float
    per_second: float
    gflops: float | None = None
    share: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Result:
    """A comparison of implementations: its sides, a ratio, and the target of the ratio."""

    name: str
    sides: list[Side]
    ratio: float
    target: float | None = None
    at_most: bool = False  # whether the target is an upper bound
    ratio_of: str = "times as fast"
    checked: str = ""  # how it was checked that both do the same
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def record(self) -> dict[str, Any]:
        """Returns the record that --json prints."""
        return asdict(self) | {"is_met": self.is_met}


def of_times(
    name: str, plain: str, times: Alternated, count: int, target: float | None, checked: str
) -> Result:
    """Returns the result for two implementations that process `count` images, or other items, at a time."""
    medians = [
        (plain, statistics.median(times.plain)),
        ("product", statistics.median(times.product)),
    ]
    sides = [Side(side, seconds, count / seconds) for side, seconds in medians]
    return Result(name, sides, times.ratio, target, checked=checked)


def table(result: Result) -> Table:
    """Returns a table with one line for each side."""
    shown = Table()
    shown.add_column("")
    columns = [
        column
        for column in COLUMNS
        if any(getattr(side, column.field) is not None for side in result.sides)
    ]
    for column in columns:
        shown.add_column(column.title, justify="right")
    for side in result.sides:
        values = [(getattr(side, column.field), column.form) for column in columns]
        cells = ["" if value is None else form.format(value) for value, form in values]
        shown.add_row(side.name, *cells)
    return shown


@dataclass(frozen=True)
class _Column:
    field: str
    title: str
    form: str


COLUMNS = (
    _Column("seconds", "seconds", "{:.4g}"),
    _Column("per_second", "a second", "{:,.4g}"),
    _Column("gflops", "GFLOP/s", "{:,.0f}"),
    _Column("share", "of matrix rate", "{:.0%}"),
    _Column("memory_gb", "peak GB", "{:.2f}"),
)


def verdict(result: Result) -> str:
    """Returns the ratio, whether it meets its target, and what was checked, as text."""
    lines = [f"{result.ratio:.3g} {result.ratio_of}"]
    if result.target is not None:
        lines[0] += (
            f"; wanted {'at most' if result.at_most else 'at least'} {result.target:g}: {'met' if result.is_met else 'MISSED'}"
        )
    return "\n".join([*lines, f"checked first: {result.checked}"] if result.checked else lines)


@contextmanager
def own_store() -> Iterator[None]:
    """Hides the user's MLflow store from this process and those it starts."""
    before = os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before

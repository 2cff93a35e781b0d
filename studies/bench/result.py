"""What a benchmark found, as records and as a table."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Side:
    """One way of doing it: median seconds, images (or other things) in a second, GFLOP/s, share of the matrix rate, peak GB."""

    name: str
    seconds: float
    per_second: float
    gflops: float | None = None
    share: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Result:
    """A comparison: its sides, a ratio, and what the ratio should be."""

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
        """For --json."""
        return asdict(self) | {"is_met": self.is_met}


def table(results: list[Result]) -> Table:
    """All results, one line a side."""
    shown = Table(title_justify="left", show_lines=False)
    for column in ("benchmark", "side", "seconds", "per second", "GFLOP/s", "of matrix rate", "peak GB", "ratio", "target"):
        shown.add_column(column, justify="left" if column in ("benchmark", "side") else "right")
    for result in results:
        for number, side in enumerate(result.sides):
            last = number == len(result.sides) - 1
            verdict = [f"{result.ratio:.2f} {result.ratio_of}", _target(result)] if last else ["", ""]
            shown.add_row(result.name if number == 0 else "", *_figures(side), *verdict, end_section=last)
    return shown


def _figures(side: Side) -> list[str]:
    optional = ((side.gflops, "{:,.0f}"), (side.share, "{:.0%}"), (side.memory_gb, "{:.2f}"))
    return [side.name, f"{side.seconds:.4g}", f"{side.per_second:,.4g}", *("" if x is None else f.format(x) for x, f in optional)]


def _target(result: Result) -> str:
    if result.target is None:
        return ""
    sign = "≤" if result.at_most else "≥"
    return f"{sign} {result.target:g} {'met' if result.is_met else 'MISSED'}"

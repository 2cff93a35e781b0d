"""Writes a table as CSV, Markdown and LaTeX."""

import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv


def write(frame: pd.DataFrame, readable: pd.DataFrame, folder: Path, name: str) -> None:
    """Writes NAME.csv in full precision, and NAME.md and NAME.tex formatted for readers."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.md").write_text(markdown(readable), encoding="utf-8")
    (folder / f"{name}.tex").write_text(latex(readable), encoding="utf-8")


def write_large(frame: pd.DataFrame, path: Path) -> None:
    """Writes a CSV of hundreds of thousands of rows, for which pandas' own writer is slow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), path)


def markdown(frame: pd.DataFrame) -> str:
    """A GitHub table."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "".join(
        "| " + " | ".join(str(value).replace("|", "\\|") for value in row) + " |\n" for row in rows
    )


def latex(frame: pd.DataFrame) -> str:
    """A booktabs tabular; special characters are escaped and bold is \\textbf."""
    plain = frame.map(_latex_text)
    plain.columns = pd.Index([_latex_text(name) for name in frame.columns])
    text: str = plain.to_latex(index=False, escape=False)
    return text


def with_half(value: float, half: float, digits: int) -> str:
    """`value ± half`; a dash if the value is unknown, and the value alone if the half-width is."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")


def with_limits(estimate: float, low: float, high: float) -> str:
    """`estimate [low, high]`, each with its sign; the estimate alone if there is no interval."""
    if not math.isfinite(low):
        return f"{estimate:+.3g}"
    return f"{estimate:+.3g} [{low:+.3g}, {high:+.3g}]"


def percent(share: float) -> str:
    """A share in per cent; a dash if it is unknown."""
    return f"{share:.0%}" if math.isfinite(share) else "–"


def p_value(p: float) -> str:
    """A p-value to three digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _latex_text(value: object) -> str:
    text = str(value)
    bold = text.startswith("**")
    escaped = text.strip("*").translate(_LATEX)
    return f"\\textbf{{{escaped}}}" if bold else escaped


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%_#${}"}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\^{}",
        "~": r"\~{}",
        "±": r"$\pm$",
        "−": "$-$",
        "Δ": r"$\Delta$",
        "₀": "$_0$",
    }
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "<": "$<$", ">": "$>$", "|": "$|$"}
)

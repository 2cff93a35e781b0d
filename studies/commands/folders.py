"""What `evaluate --images DIR --truth DIR` does and prints."""

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.evaluation import folders
from analysis.metrics import perceptual
from analysis.metrics.conventions import CONVENTIONS
from studies.commands.options import say


def evaluate_folders(
    images: Path, truth: Path, convention: str | None, resize: bool, out: Path | None
) -> None:
    """Measures a folder of pictures against a folder of true photographs, and prints the means with their intervals.

    Raises:
        ColourbenchError: the folders do not go together, or a file cannot be read.
    """
    pairs = folders.pair(images, truth)
    reader = folders.Reader(pairs, fits=resize)
    if convention:
        table = folders.measure_as(reader, convention)
        rows = folders.summary_as(table, convention)
    else:
        table = folders.measure(reader)
        rows = pd.concat([folders.summary(table), folders.measure_sets(reader)], ignore_index=True)
    how = f", as {CONVENTIONS[convention].source}" if convention else ""
    say(
        f"{len(table)} pictures of {images} against {truth}{how}; mean ± half of the 95 % interval over photographs:"
    )
    for row in rows.to_dict("records"):
        say(_line(row))
    for remark in [*pairs.remarks, *_remarks(reader, convention)]:
        say(remark)
    if out:
        table.to_csv(out, index=False)
        say(f"image by image: {out}")


def _line(row: dict[Hashable, Any]) -> str:
    spread = f" ± {row['half']:.4f}" if math.isfinite(row["half"]) else ""
    missing = row.get("without", 0)
    left_out = f"  without {missing:.0f} pictures whose value is not finite" if missing > 0 else ""
    return f"  {row['figure']:<38}{row['value']:10.4f}{spread}{left_out}"


def _remarks(reader: folders.Reader, convention: str | None) -> list[str]:
    remarks = []
    if reader.resized:
        remarks.append(
            f"{len(reader.resized)} pictures had another size than their truth and were resized"
        )
    if convention:
        remarks.append(f"not computed: {CONVENTIONS[convention].not_computed}")
    else:
        remarks += perceptual.networks().missing
    return remarks

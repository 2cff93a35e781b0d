"""Looks names up in an embedded store without importing MLflow, so that a name that does not exist is reported at once."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from common.system.names import DATABASE


def studies_in(home: Path) -> set[str] | None:
    """The names of the experiments; None where this quick look-up is impossible, as with a server."""
    rows = _rows(home, "SELECT name FROM experiments WHERE lifecycle_stage = 'active'")
    return None if rows is None else {name for (name,) in rows} - {"Default"}


def run_exists(home: Path, reference: str) -> bool | None:
    """Whether `study/run name`, `study/arm`, an id or the start of one names a run; None where this quick look-up is impossible."""
    study, _, name = reference.partition("/")
    if name:
        query = (
            "SELECT 1 FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = ? AND (runs.name = ? OR "
            "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = 'arm' AND tags.value = ?))"
        )
        rows = _rows(home, query, study, name, name)
    else:
        rows = _rows(
            home, "SELECT 1 FROM runs WHERE substr(run_uuid, 1, ?) = ?", len(reference), reference
        )
    return None if rows is None else bool(rows)


def _rows(home: Path, query: str, *values: object) -> list[tuple[Any, ...]] | None:
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    if not (home / DATABASE).is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{home / DATABASE}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return None  # opening the store through MLflow reports what is wrong with it

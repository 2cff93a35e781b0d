"""A store of answers."""

from pathlib import Path

import pytest

from studies.people.store import ResponseStore


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(f"sqlite:///{tmp_path / 'responses.db'}")

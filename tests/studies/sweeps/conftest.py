"""Sweeps here are about trials: that a winner is registered, which takes seconds, is tested by itself and in the whole way."""

import pytest

from studies.sweeps import launcher


@pytest.fixture(autouse=True)
def without_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No winner is proposed as a champion."""
    monkeypatch.setattr(launcher, "_propose", lambda *_: None)

"""For sweeps that are about their trials: registering a winner takes seconds."""

import pytest

from studies.sweeps import launcher


@pytest.fixture
def without_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No winner is proposed as a champion."""
    monkeypatch.setattr(launcher, "_propose", lambda *_: None)

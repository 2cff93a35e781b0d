"""All that a resumed run needs to be the same run: what a checkpoint holds, and how it comes back."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import callbacks, checkpoint
from common.engine import random_state, restore_random_state
from common.errors import ColourbenchError
from studies.session import Session


def state_of(session: Session, losses: callbacks.LogLosses) -> dict[str, Any]:
    """A checkpoint's content."""
    own = {"identity": session.run.tags["config_sha256"], "variant": session.variant.state_dict()}
    return own | stream_state(session) | {"losses": losses.state_dict(), "metrics": session.run.pending()}


def stream_state(session: Session) -> dict[str, Any]:
    """Where a run stands, whatever its variant: the images drawn, how far it is, every random generator."""
    return {"batches": session.batches.state_dict(), "progress": asdict(session.progress), "random": random_state()}


def take_up(session: Session, losses: callbacks.LogLosses) -> Path | None:
    """Takes up the newest checkpoint, if there is one, and returns its path.

    Raises:
        ColourbenchError: it was written with other settings.
    """
    path, state = checkpoint.latest(session.run.folder)
    session.engine.any(False)  # no rank writes the next checkpoint before all have read this one
    if state is None:
        return None
    if state["identity"] != session.run.tags["config_sha256"]:
        raise ColourbenchError(
            f"the checkpoint in {session.run.folder} was written with other settings; move it away to train anew with these"
        )
    session.variant.load_state_dict(state["variant"])
    losses.load_state_dict(state["losses"])
    restore(session, state)
    return path


def restore(session: Session, state: dict[str, Any]) -> None:
    """The parts of a state that do not depend on the variant, and the figures that it holds."""
    session.batches.load_state_dict(state["batches"])
    for name, value in state["progress"].items():
        setattr(session.progress, name, value)
    session.run.restore(state["metrics"])
    restore_random_state(state["random"])

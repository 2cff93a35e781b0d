"""All that a resumed run needs to be the same run: its device and precision, a checkpoint's content, and how it is restored."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from common.errors import ColourbenchError
from common.loop import callbacks, checkpoint
from common.loop.engine import Engine, EngineConfig
from common.loop.processor import processor
from common.loop.randomness import random_state, restore_random_state
from common.tracking.run import Run

if TYPE_CHECKING:
    from studies.runs.session import Session
PRECISIONS = {"32-true": "32", "bf16-mixed": "bf16"}  # the engine's name -> the settings' name


def machine_tags(engine: Engine) -> dict[str, str]:
    """Returns the device, resolved precision, threads and processor."""
    return {
        "device": str(engine.device),
        "precision": engine.precision,
        "threads": str(torch.get_num_threads()),
        "processor": str(processor()),
    }


def engine_of(config: EngineConfig, resumed: Run | None) -> Engine:
    """Returns an engine for a run. A resumed run keeps its first device and precision: `auto` is resolved only once.

    Raises:
        ColourbenchError: this machine does not have the device on which the run started.
    """
    tags = resumed.tags if resumed else {}
    kept: dict[str, str] = {}
    if config.precision == "auto" and tags.get("precision") in PRECISIONS:
        kept["precision"] = PRECISIONS[tags["precision"]]
    if config.device == "auto" and "device" in tags:
        kept["device"] = tags["device"].partition(":")[0]
    try:
        return Engine(config.model_copy(update=kept))
    except ColourbenchError:
        if not kept.get("device"):
            raise
        raise ColourbenchError(
            f"this run was begun on {kept['device']} in {tags['precision']}, which this machine cannot do: go on with it there, "
            "or train it from the start here by naming engine.device or engine.precision with --set"
        ) from None


def what_changed(engine: Engine, tags: dict[str, str]) -> str:
    """Describes, for the log, what has changed since the run started but does not prevent resuming it."""
    now = machine_tags(engine)
    changes = [f"{name} {tags[name]} before" for name in ("threads", "processor") if name in tags and tags[name] != now[name]]
    slow = engine.precision == "bf16-mixed" and engine.device.type == "cpu" and not processor().multiplies_bf16
    emulated = ["bfloat16 is emulated here, which is slow; the run was begun in it"] if slow and tags.get("precision") else []
    rounding = ["sums are rounded otherwise from here on"] if changes else []
    return "; ".join([*changes, *rounding, *emulated])


def state_of(session: "Session", losses: callbacks.LogLosses) -> dict[str, Any]:
    """Returns a checkpoint's content."""
    own = {"identity": session.run.tags["config_sha256"], "variant": session.variant.state_dict()}
    return own | stream_state(session) | {"losses": losses.state_dict(), "metrics": session.run.pending()}


def stream_state(session: "Session") -> dict[str, Any]:
    """Returns the part of a run's state that every variant has: the images drawn, the progress, every random generator."""
    return {"batches": session.batches.state_dict(), "progress": asdict(session.progress), "random": random_state()}


def take_up(session: "Session", losses: callbacks.LogLosses) -> Path | None:
    """Loads the newest checkpoint, if there is one, and returns its path.

    Raises:
        ColourbenchError: it was written with other settings.
    """
    path, state = checkpoint.latest(session.run.folder)
    session.engine.any(False)  # no rank writes the next checkpoint before all have read this one
    if state is None:
        return None
    if state["identity"] != session.run.tags["config_sha256"]:
        raise ColourbenchError(
            f"the checkpoint in {session.run.folder} was written with other settings; move it away to train with these"
        )
    session.variant.load_state_dict(state["variant"])
    losses.load_state_dict(state["losses"])
    restore(session, state)
    return path


def restore(session: "Session", state: dict[str, Any]) -> None:
    """Restores the parts of a state that do not depend on the variant, and the metrics that it contains."""
    session.batches.load_state_dict(state["batches"])
    for name, value in state["progress"].items():
        setattr(session.progress, name, value)
    session.run.restore(state["metrics"])
    restore_random_state(state["random"])

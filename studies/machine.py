"""Where a run computes: said in its tags when it begins, and kept when it goes on, for other rounding makes another run of it."""

import torch

from common.engine import Engine, EngineConfig
from common.errors import ColourbenchError
from common.processor import processor
from common.tracking import Run

PRECISIONS = {"32-true": "32", "bf16-mixed": "bf16"}  # as an engine says it -> as settings say it


def machine_tags(engine: Engine) -> dict[str, str]:
    """Device, resolved precision, threads and processor."""
    return {
        "device": str(engine.device),
        "precision": engine.precision,
        "threads": str(torch.get_num_threads()),
        "processor": str(processor()),
    }


def engine_of(config: EngineConfig, begun: Run | None) -> Engine:
    """An engine for a new run, or for one that goes on the engine it was begun with: what is `auto` is decided once.

    Raises:
        ColourbenchError: this machine does not have the device that the run was begun on.
    """
    tags = begun.tags if begun else {}
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
            "or train it anew here by naming engine.device or engine.precision with --set"
        ) from None


def what_changed(engine: Engine, tags: dict[str, str]) -> str:
    """What is not as it was when the run began, though it may go on; for the log."""
    now = machine_tags(engine)
    changes = [f"{name} {tags[name]} before" for name in ("threads", "processor") if name in tags and tags[name] != now[name]]
    slow = engine.precision == "bf16-mixed" and engine.device.type == "cpu" and not processor().multiplies_bf16
    emulated = ["bfloat16 is emulated here, which is slow; the run was begun in it"] if slow and tags.get("precision") else []
    rounding = ["sums are rounded otherwise from here on"] if changes else []
    return "; ".join([*changes, *rounding, *emulated])

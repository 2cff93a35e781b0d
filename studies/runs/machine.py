"""The machine of a run: what is recorded of it, the engine that a resumed run keeps, and what has changed since it began."""

import torch

from common.errors import ColourbenchError
from common.loop.engine import Engine, EngineConfig
from common.system.processor import processor
from common.tracking.run import Run

# the engine's name -> the settings' name
PRECISIONS = {"32-true": "32", "bf16-mixed": "bf16"}


def machine_tags(engine: Engine) -> dict[str, str]:
    """Returns the device, the number of devices, resolved precision, threads and processor."""
    return {
        "device": str(engine.device),
        "ranks": str(engine.ranks),
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
    changes = [
        f"{name} {tags[name]} before"
        for name in ("threads", "processor")
        if name in tags and tags[name] != now[name]
    ]
    slow = (
        engine.precision == "bf16-mixed"
        and engine.device.type == "cpu"
        and not processor().multiplies_bf16
    )
    emulated = (
        ["bfloat16 is emulated here, which is slow; the run was begun in it"]
        if slow and tags.get("precision")
        else []
    )
    rounding = ["sums are rounded otherwise from here on"] if changes else []
    return "; ".join([*changes, *rounding, *emulated])

"""A finished run's generator, taken up again to colourise."""

import json

from common import checkpoint
from common.config import as_json, parse
from common.domain import Domain
from common.engine import Engine, EngineConfig
from common.errors import ColourbenchError, did_you_mean
from common.tracking import Run
from studies.run_config import RunConfig
from variants.colouriser import Colouriser
from variants.registry import trained_colouriser

GENERATOR = "generator.pt"
CONFIG = "config.json"
LABELS = "labels.json"


def load_run(run: Run, device: str = "auto") -> tuple[Colouriser, RunConfig]:
    """A finished run's trained generator, ready to colourise, and the settings it was trained with.

    Raises:
        ColourbenchError: the run has no trained generator.
    """
    path = run.folder / GENERATOR
    if not path.is_file():
        raise ColourbenchError(
            f"the run {run.name} has no trained generator (its status is {run.status}); train it to the end first"
        )
    config = read_config(run)
    engine = Engine(parse(EngineConfig, as_json(config.engine) | {"device": device}, "--device"))
    state = checkpoint.load(path, engine.device)
    domain = Domain(int(state["size"]), int(state.get("classes", 0)))
    return trained_colouriser(config.variant, engine, domain, state["network"]), config


def label_number(run: Run, config: RunConfig, label: str) -> int:
    """The number of a label of the data set that a run was trained on.

    Raises:
        ColourbenchError: the run was trained without labels, or there is no such label.
    """
    if not config.variant.generator.labels:
        raise ColourbenchError(f"the run {run.name} was trained without labels; train one with variant.generator.labels=true")
    labels = json.loads((run.folder / LABELS).read_bytes())
    if label not in labels:
        raise ColourbenchError(f"there is no label {label!r}{did_you_mean(label, labels)}; the run knows {', '.join(labels)}")
    return int(labels.index(label))


def read_config(run: Run) -> RunConfig:
    """The settings that a run was trained with."""
    path = run.folder / CONFIG
    if not path.is_file():
        raise ColourbenchError(f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?")
    return parse(RunConfig, json.loads(path.read_bytes()), str(path))

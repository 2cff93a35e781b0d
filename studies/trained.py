"""A finished run's generator, taken up again to colourise."""

from common import checkpoint, kept
from common.config import as_json, parse
from common.domain import Domain
from common.engine import Engine, EngineConfig
from common.errors import ColourbenchError, did_you_mean
from common.tracking import Run
from studies.machine import engine_of
from studies.run_config import RunConfig
from variants.colouriser import Colouriser
from variants.registry import trained_colouriser

GENERATOR = "generator.pt"
CONFIG = "config.json"
LABELS = "labels.json"
RETRAIN = "add --retrain to the `colourbench train` or `colourbench compare` that made it, to train it again"


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
    engine = _engine(run, parse(EngineConfig, as_json(config.engine) | {"device": device}, "--device"))
    state = checkpoint.load_whole(kept.intact(path, RETRAIN), ("size", "network"), RETRAIN, engine.device)
    domain = Domain(int(state["size"]), int(state.get("classes", 0)))
    try:
        return trained_colouriser(config.variant, engine, domain, state["network"]), config
    except (RuntimeError, TypeError, AttributeError):  # torch's answers to weights of another shape, or to what are none
        raise kept.Damaged(f"{path} holds another network than {CONFIG} beside it describes; {RETRAIN}") from None


def _engine(run: Run, config: EngineConfig) -> Engine:
    """The one that the run was trained with, so that it is looked at alike; where this machine has none such, its own."""
    try:
        return engine_of(config, run)
    except ColourbenchError:
        return Engine(config)


def label_number(run: Run, config: RunConfig, label: str) -> int:
    """The number of a label of the data set that a run was trained on.

    Raises:
        ColourbenchError: the run was trained without labels, or there is no such label.
    """
    if not config.variant.generator.labels:
        raise ColourbenchError(f"the run {run.name} was trained without labels; train one with variant.generator.labels=true")
    labels = kept.read_json(run.folder / LABELS, RETRAIN, list)
    if label not in labels:
        raise ColourbenchError(f"there is no label {label!r}{did_you_mean(label, labels)}; the run knows {', '.join(labels)}")
    return int(labels.index(label))


def read_config(run: Run) -> RunConfig:
    """The settings that a run was trained with."""
    path = run.folder / CONFIG
    if not path.is_file():
        raise ColourbenchError(f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?")
    return parse(RunConfig, kept.read_json(path, RETRAIN), str(path))

"""A finished run's generator, taken up again to colourise."""

from analysis import evaluation
from analysis.evaluation import Evaluation
from common.config import as_json, parse
from common.data.domain import Domain
from common.data.shards import Split
from common.errors import ColourbenchError, did_you_mean
from common.files import integrity
from common.files.names import CONFIG, GENERATOR, LABELS
from common.loop import checkpoint
from common.loop.engine import Engine, EngineConfig
from common.tracking import Run
from studies.runs.configuration import RunConfig
from studies.runs.resume import engine_of
from variants.players.colouriser import Colouriser
from variants.players.generator import trained_colouriser

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
    state = checkpoint.load_whole(integrity.intact(path, RETRAIN), ("size", "network"), RETRAIN, engine.device)
    domain = Domain(int(state["size"]), int(state.get("classes", 0)))
    try:
        return trained_colouriser(config.variant, engine, domain, state["network"]), config
    except (RuntimeError, TypeError, AttributeError):  # torch's answers to weights of another shape, or to what are none
        raise integrity.Damaged(f"{path} holds another network than {CONFIG} beside it describes; {RETRAIN}") from None


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
    labels = integrity.read_json(run.folder / LABELS, RETRAIN, list)
    if label not in labels:
        raise ColourbenchError(f"there is no label {label!r}{did_you_mean(label, labels)}; the run knows {', '.join(labels)}")
    return int(labels.index(label))


def read_config(run: Run) -> RunConfig:
    """The settings that a run was trained with."""
    path = run.folder / CONFIG
    if not path.is_file():
        raise ColourbenchError(f"{run.folder} holds no {CONFIG}; is {run.name} a training run of colourbench?")
    return parse(RunConfig, integrity.read_json(path, RETRAIN), str(path))


def evaluate(colouriser: Colouriser, split: Split, labelled: bool, samples: int = 0) -> Evaluation:
    """All metrics of a split's images; where the generator has noise also how far several versions of one image differ.

    Args:
        labelled: whether it is told the images' labels.
        samples: how many of the coloured photographs are kept.
    """
    version = colouriser.sample if colouriser.is_noisy else None
    return evaluation.evaluate(colouriser, split, colouriser.engine.device, samples, labelled, version)

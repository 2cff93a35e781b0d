"""Everything that one run is made of, drawn from its seed."""

from dataclasses import dataclass

from common.batches import Batches
from common.domain import domain_of
from common.engine import Engine, seed_everything
from common.shards import Dataset
from common.tracking import Run
from common.training import Progress
from studies.run_config import RunConfig
from variants import registry
from variants.variant import Variant


@dataclass(frozen=True)
class Session:
    """A run, its settings and its parts."""

    config: RunConfig
    run: Run
    dataset: Dataset
    engine: Engine
    variant: Variant
    batches: Batches
    progress: Progress


def compose(config: RunConfig, dataset: Dataset, engine: Engine) -> tuple[Engine, Variant, Batches, Progress]:
    """The parts of a run at its start."""
    seed_everything(config.seed)
    variant = registry.build(config.variant, engine, domain_of(dataset, config.batches, config.seed))
    batches = Batches(dataset.split("train"), config.batches, config.seed, engine.device, engine.rank, engine.ranks)
    return engine, variant, batches, Progress()

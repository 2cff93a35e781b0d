"""What a run will cost, measured on a few of its own steps: parameters, FLOPs, memory, hours.

The steps run in a separate process, so that its peak memory is theirs, and running out of memory only ends that process.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evaluation import splits
from common.data.batches import Batches
from common.data.shards import Dataset
from common.errors import ColourbenchError, first_line
from common.loop import checkpoint
from common.loop.engine import Engine
from common.loop.training import Phase
from common.system.costs import CountFlops, is_out_of_memory
from common.system.processes import Killed, OwnProcess
from common.tracking import load_backend
from studies.runs.configuration import RunConfig
from studies.runs.session import compose
from variants.schedule.phases import schedule_of

STEPS = 4  # the first one pays for allocations and is not counted


@dataclass(frozen=True)
class PhaseCost:
    """The cost of one kind of step."""

    name: str
    images: float  # drawn by a step, on average
    seconds: float  # per step
    gflops: float  # per step, forward and backward
    hours: float  # in the whole run


@dataclass(frozen=True)
class Estimate:
    """What a run costs."""

    generator_parameters: int
    critic_parameters: int
    peak_memory_gb: float
    precision: str
    device: str
    phases: list[PhaseCost]

    @property
    def hours(self) -> float:
        """Hours of training, without validation and previews."""
        return sum(phase.hours for phase in self.phases)


def estimate(dataset: Dataset, config: RunConfig) -> Estimate:
    """Measures a run of `config` on `dataset`.

    Raises:
        ColourbenchError: the run does not fit into memory, or cannot be built.
    """
    with OwnProcess() as process:
        try:
            return process.call(_measure, dataset.folder, config)
        except Exception as error:
            if isinstance(error, Killed) or is_out_of_memory(error):
                raise ColourbenchError(
                    f"it does not fit into this machine's memory with batches.size={config.batches.size}; lower it, raise "
                    "variant.accumulation, or set variant.generator.recompute=true"
                ) from None
            if isinstance(error, ColourbenchError):
                raise
            raise ColourbenchError(f"the run cannot be measured: {first_line(error)}") from error


def _measure(folder: Path, config: RunConfig) -> Estimate:
    """Runs, in the other process, the steps, a validation and a checkpoint, as in a run."""
    dataset = Dataset(folder)
    load_backend()  # so that the memory of tracking itself is counted
    engine = Engine(config.engine)
    variant, batches = compose(config, dataset, engine)
    phases = schedule_of(variant, config.schedule).phases(config.budget)
    totals = {
        name: sum(phase.amount for phase in phases if phase.name == name)
        for name in {phase.name for phase in phases}
    }
    once = {phase.name: phase for phase in phases}
    costs = [
        _phase_cost(phase, batches, engine, totals[name], config) for name, phase in once.items()
    ]
    validation = dataset.split("validation")
    labelled = config.variant.generator.labels
    splits.score(
        variant.colourise, validation, config.watch.validation_images, engine.device, labelled
    )
    with tempfile.TemporaryDirectory() as temporary_folder:
        checkpoint.save(Path(temporary_folder), {"variant": variant.state_dict()}, 0)
    critic = getattr(variant, "critic", None)
    return Estimate(
        generator_parameters=_parameters(variant.generator),
        critic_parameters=_parameters(critic) if critic else 0,
        peak_memory_gb=engine.peak_memory() / 1e9,
        precision=engine.precision,
        device=str(engine.device),
        phases=costs,
    )


def _phase_cost(
    phase: Phase, batches: Batches, engine: Engine, amount: float, config: RunConfig
) -> PhaseCost:
    with CountFlops() as counter:
        phase.step(batches)
    start = batches.images
    updates = phase.updates()[0]
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        phase.step(batches)
        engine.synchronise()
        seconds.append(time.perf_counter() - started)
    # steps with a threshold draw varying numbers of images
    images = (batches.images - start) / STEPS
    step = sum(seconds) / STEPS
    made = max(1.0, (phase.updates()[0] - updates) / STEPS)
    steps = {"images": amount / images, "updates": amount / made, "seconds": amount / step}[
        config.budget.unit
    ]
    return PhaseCost(phase.name, images, step, counter.flops / 1e9, steps * step / 3600)


def _parameters(player: Any) -> int:
    return sum(parameter.numel() for parameter in player.network.parameters())

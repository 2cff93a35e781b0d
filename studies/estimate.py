"""What a run will cost, measured on a few of its own steps: parameters, FLOPs, memory, hours.

The steps run in a process of their own, so that its peak memory is theirs and a machine that is too small fails there.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from common import checkpoint
from common.batches import Batches
from common.config import as_json, parse
from common.engine import Engine
from common.errors import ColourbenchError
from common.shards import Dataset
from common.tracking import load_backend
from common.training import Phase
from studies.run_config import RunConfig

STEPS = 4  # the first one pays for allocations and is not counted


@dataclass(frozen=True)
class PhaseCost:
    """One kind of step."""

    name: str
    images: float  # that a step draws, on average
    seconds: float  # of a step
    gflops: float  # of a step, forward and backward
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
        """Of training, validation and previews left out."""
        return sum(phase.hours for phase in self.phases)


def estimate(dataset: Dataset, config: RunConfig) -> Estimate:
    """Measures a run of `config` on `dataset`.

    Raises:
        ColourbenchError: it does not fit into memory, or cannot be built.
    """
    order = json.dumps({"dataset": str(dataset.folder), "config": as_json(config)})
    done = subprocess.run([sys.executable, "-m", "studies.estimate"], input=order, capture_output=True, text=True, check=False)
    if done.returncode < 0 or "out of memory" in done.stderr.lower() or "allocate memory" in done.stderr:
        size = config.batches.size
        raise ColourbenchError(
            f"it does not fit into this machine's memory with batches.size={size}; lower it, raise variant.accumulation, or set "
            f"variant.generator.recompute=true"
        )
    if done.returncode:
        raise ColourbenchError(done.stderr.strip().splitlines()[-1].removeprefix("common.errors.ColourbenchError: "))
    found = json.loads(done.stdout.splitlines()[-1])
    return Estimate(**found | {"phases": [PhaseCost(**phase) for phase in found["phases"]]})


def _measure(dataset: Dataset, config: RunConfig) -> Estimate:
    """In the child process: the steps, a validation and a checkpoint, as in a run."""
    from analysis import evaluation
    from studies.session import compose

    load_backend()  # what tracking itself takes of memory
    with tempfile.TemporaryDirectory() as folder:
        engine, variant, batches, _ = compose(config, dataset, Engine(config.engine))
        by_name = {phase.name: phase for phase in variant.phases(config.budget)}
        totals = {name: sum(p.amount for p in variant.phases(config.budget) if p.name == name) for name in by_name}
        costs = [_phase_cost(phase, batches, engine, totals[name], config) for name, phase in by_name.items()]
        validation = dataset.split("validation")
        evaluation.score(
            variant.colourise, validation, config.watch.validation_images, engine.device, config.variant.generator.labels
        )
        checkpoint.save(Path(folder), {"variant": variant.state_dict()}, 0)
    critic = getattr(variant, "critic", None)
    return Estimate(
        generator_parameters=_parameters(variant.generator),
        critic_parameters=_parameters(critic) if critic else 0,
        peak_memory_gb=engine.peak_memory() / 1e9,
        precision=engine.precision,
        device=str(engine.device),
        phases=costs,
    )


def _phase_cost(phase: Phase, batches: Batches, engine: Engine, amount: float, config: RunConfig) -> PhaseCost:
    with CountFlops() as counter:
        phase.step(batches)
    start, updates, seconds = batches.images, phase.updates()[0], []
    for _ in range(STEPS):
        begun = time.perf_counter()
        phase.step(batches)
        engine.synchronise()
        seconds.append(time.perf_counter() - begun)
    images = (batches.images - start) / STEPS  # steps with a threshold draw unlike numbers
    step = sum(seconds) / STEPS
    made = max(1.0, (phase.updates()[0] - updates) / STEPS)
    steps = {"images": amount / images, "updates": amount / made, "seconds": amount / step}[config.budget.unit]
    return PhaseCost(phase.name, images, step, counter.flops / 1e9, steps * step / 3600)


class CountFlops(TorchDispatchMode):
    """Counts by torch's own formulas. torch's FlopCounterMode also tracks modules, which fails where activations are recomputed."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        self.flops += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out


def _parameters(player: Any) -> int:
    return sum(parameter.numel() for parameter in player.network.parameters())


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(asdict(_measure(Dataset(Path(given["dataset"])), parse(RunConfig, given["config"])))))

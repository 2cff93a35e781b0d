"""A training step of the product against the plain one: time, operations, memory."""

import copy
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from common.batches import Batch
from common.config import parse
from common.domain import Domain
from common.engine import Engine, EngineConfig, seed_everything
from common.errors import ColourbenchError
from studies.bench.plain_networks import PlainCritic, PlainGenerator, take_weights
from studies.bench.plain_steps import NaiveEgan, PlainCgan, PlainWganCritic
from studies.bench.result import Result, Side
from studies.bench.timing import alternate, matrix_rate, seconds
from studies.estimate import CountFlops
from variants.registry import VARIANTS, build
from variants.variant import Variant
from variants.wgan_gp import WganGp

Step = Callable[[], object]
Who = Literal["plain", "product"]
WHO: tuple[Who, Who] = ("plain", "product")
MOST_DIFFERENT = 2e-3  # share of a layer's weights; those whose gradient is about 0


@dataclass(frozen=True)
class Task:
    """What is trained: a variant's step at a size."""

    variant: str
    size: int = 256
    batch: int = 8
    base_width: int = 64
    precision: str = "auto"
    device: str = "cpu"
    dropout: float = 0.5
    threads: int = 0


def plain_step(task: Task, like: Variant | None = None) -> Step:
    """The plain training step, with another's weights where they are given."""
    device = torch.device(task.device)
    generator = PlainGenerator(task.size, task.base_width, task.dropout).to(device)
    critic = PlainCritic(task.base_width, "layer" if task.variant == "wgan_gp" else "batch").to(device)
    if like is not None:
        take_weights(generator, like.generator.network.parameters())
        take_weights(critic, like.critic.network.parameters())  # type: ignore[attr-defined]
    L, ab, judge_L, judge_ab = (tensor for batch in photographs(task, 2) for tensor in (batch.L, batch.ab))
    if task.variant == "wgan_gp":
        return partial(PlainWganCritic(generator, critic).step, L, ab)
    if task.variant == "egan":
        return partial(NaiveEgan([generator], critic).step, L, ab, judge_L, judge_ab)
    return partial(PlainCgan(generator, critic).step, L, ab)


def product_variant(task: Task) -> Variant:
    """The product's variant, with the settings that users get."""
    network = {"network": {"base_width": task.base_width}}
    fields = {"generator": {"network": {"base_width": task.base_width, "dropout": task.dropout}}, "critic": network}
    return build(parse(VARIANTS[task.variant].Config, fields), _engine(task), Domain(task.size))


def _engine(task: Task) -> Engine:
    return Engine(parse(EngineConfig, {"device": task.device, "precision": task.precision, "threads": task.threads}))


def product_step(task: Task, variant: Variant) -> Step:
    """The product's training step: WGAN-GP's critic update alone, the other variants' whole step."""
    batches = photographs(task, 2)
    if isinstance(variant, WganGp):
        return partial(variant.critic_step, batches[:1])
    return lambda: variant.step(iter(copy.copy(batches)))


def photographs(task: Task, count: int) -> list[Batch]:
    """Batches of noise: what is timed does not depend on what is seen."""
    draw = torch.Generator().manual_seed(0)
    shape = (task.batch, 1, task.size, task.size)

    def one() -> Batch:
        L, ab = torch.rand(shape, generator=draw) * 2 - 1, torch.rand(task.batch, 2, *shape[2:], generator=draw) - 0.5
        return Batch(L.to(task.device), ab.to(task.device), torch.full((task.batch,), -1, device=task.device))

    return [one() for _ in range(count)]


def against_plain(task: Task, rounds: int, target: float | None) -> Result:
    """The product's step against the plain one, when a small case of both has been found equal.

    Raises:
        ColourbenchError: they are not, or it does not fit into memory.
    """
    checked = _check_equal(Task(task.variant, 64, 4, 16, device=task.device))
    seed_everything(0)
    variant = product_variant(task)
    steps = (plain_step(task, variant), product_step(task, variant))
    flops = [_flops(step) for step in steps]
    device, precision = variant.engine.device, variant.engine.precision
    times = alternate(*steps, rounds, device)
    own = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    # a GPU's float32 convolutions are TF32 unless told otherwise, and so is the plain side there
    rates = [matrix_rate(torch.float32, device) if device.type == "cpu" else None, matrix_rate(own, device)]
    names = ("plain float32" if device.type == "cpu" else "plain float32 (TF32)", f"product {precision}")
    sides = [
        _side(name, task, seconds, operations, rate, measured(task, who).memory_gb)
        for name, seconds, operations, rate, who in zip(names, (times.plain, times.product), flops, rates, WHO, strict=True)
    ]
    what = "critic update" if task.variant == "wgan_gp" else "step"
    return Result(f"{task.variant} {what}, {task.size} px, batch {task.batch}", sides, times.ratio, target, checked=checked)


def _check_equal(small: Task) -> str:
    share = difference(small)
    if share > MOST_DIFFERENT:
        raise ColourbenchError(f"the plain {small.variant} and the product's differ in {share:.1%} of a layer: nothing is timed")
    return f"three steps of a small one in float32: at most {share:.1e} of a layer's weights differ by more than 2e-5"


def _flops(step: Step) -> int:
    with CountFlops() as counter:
        step()
    return int(counter.flops)


def evolution_against_cgan(task: Task, rounds: int, targets: tuple[float, float] | None) -> list[Result]:
    """What a step of E-GAN costs in steps of cGAN, same engine: time, and memory of the whole process; `task` names E-GAN."""
    other = replace(task, variant="cgan")
    egan, cgan = (product_step(one, product_variant(one)) for one in (task, other))
    times = alternate(egan, cgan, rounds, torch.device(task.device))
    memory = [measured(one, "product").memory_gb for one in (task, other)]
    name = f"egan step, {task.size} px, batch {task.batch}, against cgan's"
    sides = [_side("egan", task, times.plain, None, None, memory[0]), _side("cgan", task, times.product, None, None, memory[1])]
    most = targets or (None, None)
    return [
        Result(f"{name}: time", sides, times.ratio, most[0], at_most=True, ratio_of="times as long"),
        Result(f"{name}: memory", sides, memory[0] / memory[1], most[1], at_most=True, ratio_of="times as much (whole processes)"),
    ]


def _side(name: str, task: Task, seconds: list[float], flops: int | None, rate: float | None, memory: float) -> Side:
    median = statistics.median(seconds)
    gflops = flops / median / 1e9 if flops else None
    share = flops / median / rate if flops and rate else None
    return Side(name, median, task.batch / median, gflops, share, memory)


@dataclass(frozen=True)
class Measured:
    """Median seconds of a step, and the peak memory of a process of its own that makes a few; on a GPU what torch took there."""

    seconds: float
    memory_gb: float


def measured(task: Task, who: Who) -> Measured:
    """Measures in a process of its own.

    Raises:
        ColourbenchError: it does not fit into memory, or fails otherwise.
    """
    command = [sys.executable, "-m", "studies.bench.training"]
    done = subprocess.run(
        command, input=json.dumps({"who": who, "task": asdict(task)}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ColourbenchError(f"{who} {task}: {(done.stderr.strip().splitlines() or ['killed; is there enough memory?'])[-1]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _measure(who: Who, task: Task) -> Measured:
    engine = _engine(task)
    step = plain_step(task) if who == "plain" else product_step(task, product_variant(task))
    step()
    times = [seconds(step, engine.device) for _ in range(3)]
    return Measured(statistics.median(times), engine.peak_memory() / 1e9)


def difference(task: Task, steps: int = 3) -> float:
    """The largest share of weights that differ visibly after some steps in float32 without dropout: 0 is equal to rounding.

    Adam's first steps are ±learning rate whatever a gradient's size, so elements whose gradient is about 0 may differ.
    """
    seed_everything(0)
    exact = replace(task, precision="32", dropout=0.0)
    variant = product_variant(exact)
    plain, product = plain_step(exact, variant), product_step(exact, variant)
    for number in range(steps):
        for step in (plain, product):
            seed_everything(number)  # both draw the same ε
            step()
    owner: Any = plain.func.__self__  # type: ignore[attr-defined]
    pairs = [*zip(_generator(owner).parameters(), variant.generator.network.parameters(), strict=True)]
    pairs += [*zip(owner.critic.parameters(), variant.critic.network.parameters(), strict=True)]  # type: ignore[attr-defined]
    return max(float(((a - b).abs() > 2e-5).float().mean()) for a, b in pairs)


def _generator(owner: Any) -> torch.nn.Module:
    network: torch.nn.Module = owner.parents[0][0] if isinstance(owner, NaiveEgan) else owner.generator
    return network


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(asdict(_measure(given["who"], Task(**given["task"])))))

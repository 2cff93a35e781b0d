"""A training step of the product against the plain one: time, operations, memory."""

import statistics
from dataclasses import replace

import torch

from common.errors import ColourbenchError
from studies.bench.measurements.stepper import End, stepper
from studies.bench.result import Result, Side
from studies.bench.tasks import Task, difference
from studies.bench.timing import alternate, matrix_rate

# largest share of a layer's weights that may differ: those whose gradient is about 0
MOST_DIFFERENT = 2e-3


def against_plain(task: Task, rounds: int, target: float | None) -> Result:
    """Measures the product's step against the plain one, after a check that both are equal in a small case.

    Raises:
        ColourbenchError: they are not equal, or a step does not fit into memory.
    """
    checked = _check_equal(Task(task.variant, 64, 4, 16, device=task.device))
    with stepper(task, "plain") as plain, stepper(task, "product") as product:
        times = alternate(plain.step, product.step, rounds)
        ends = [plain.end(), product.end()]
    device = torch.device(task.device)
    precision = ends[1].precision
    own = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    plain_name = "plain float32"
    plain_rate = None
    if task.device == "cpu":
        plain_rate = matrix_rate(torch.float32, device)
    else:
        # a GPU's float32 convolutions are TF32 by default, and so is the plain side there
        plain_name = "plain float32 (TF32)"
    sides = [
        _side(plain_name, task, times.plain, ends[0], plain_rate),
        _side(f"product {precision}", task, times.product, ends[1], matrix_rate(own, device)),
    ]
    what = "critic update" if task.variant == "wgan_gp" else "step"
    name = f"{task.variant} {what}, {task.size} px, batch {task.batch}, width {task.base_width}"
    return Result(name, sides, times.ratio, target, checked=checked)


def _check_equal(small: Task) -> str:
    share = difference(small)
    if share > MOST_DIFFERENT:
        raise ColourbenchError(
            f"the plain {small.variant} and the product's differ in {share:.1%} of a layer: nothing is timed"
        )
    return f"three steps in float32, {1 - share:.3%} of the weights agree within 2e-5"


def evolution_against_cgan(
    task: Task, rounds: int, targets: tuple[float, float] | None
) -> list[Result]:
    """Measures what a step of E-GAN costs in steps of cGAN, on the same engine: time, and process memory; `task` names E-GAN."""
    with (
        stepper(task, "product") as egan,
        stepper(replace(task, variant="cgan"), "product") as cgan,
    ):
        times = alternate(egan.step, cgan.step, rounds)
        ends = [egan.end(), cgan.end()]
    name = f"egan step, {task.size} px, batch {task.batch}, against cgan's"
    sides = [
        _side("egan", task, times.plain, ends[0], None),
        _side("cgan", task, times.product, ends[1], None),
    ]
    memory = ends[0].memory_gb / ends[1].memory_gb
    most = targets or (None, None)
    return [
        Result(
            f"{name}: time", sides, times.ratio, most[0], at_most=True, ratio_of="times as long"
        ),
        Result(
            f"{name}: memory",
            sides,
            memory,
            most[1],
            at_most=True,
            ratio_of="times as much (whole processes)",
        ),
    ]


def _side(name: str, task: Task, seconds: list[float], end: End, rate: float | None) -> Side:
    median = statistics.median(seconds)
    share = end.flops / median / rate if rate else None
    return Side(name, median, task.batch / median, end.flops / median / 1e9, share, end.memory_gb)

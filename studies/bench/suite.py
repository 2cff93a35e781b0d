"""The benchmarks, at full size with their targets, or small and quick without targets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from common.errors import ColourbenchError, did_you_mean
from common.loop.engine import Engine, EngineConfig, device_kind
from common.system.costs import is_out_of_memory
from common.system.processor import processor
from studies.bench.measurements import photographs
from studies.bench.measurements.logging_cost import logging_and_checkpoints
from studies.bench.measurements.parts import layers, others
from studies.bench.measurements.report_cost import report_of
from studies.bench.measurements.sweep_cost import trials_per_second
from studies.bench.measurements.training_steps import against_plain, evolution_against_cgan
from studies.bench.measurements.whole_run import IMAGES_A_VALIDATION, whole_run
from studies.bench.result import Result
from studies.bench.tasks import Task

TARGETS_OF = "avx512_bf16"


@dataclass(frozen=True)
class Plan:
    """How large and how long the benchmarks are: `quick` shrinks images, networks and rounds, and has no targets."""

    device: str
    quick: bool = False
    storage: str = ""

    @property
    def rounds(self) -> int:
        """Number of alternations."""
        return 3 if self.quick else 7

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return 64 if self.quick else 256

    def task(self, variant: str, batch: int, precision: str = "auto") -> Task:
        """Returns the task of a variant's training step."""
        return Task(variant, self.size, batch, 16 if self.quick else 64, precision, self.device)

    def target(self, value: float) -> float | None:
        """Returns the target, or None where it does not hold: targets are for two CPU cores of the kind they were measured on."""
        return (
            value if not self.quick and self.device == "cpu" and is_of_the_targets_kind() else None
        )


def is_of_the_targets_kind() -> bool:
    """Whether this processor is of the kind that the targets hold for: AVX-512 with bfloat16, without AMX."""
    instructions = processor().instructions
    return TARGETS_OF in instructions and "amx_bf16" not in instructions


def train(plan: Plan) -> Iterator[Result]:
    """Measures cGAN's step, in the precision that `auto` chooses and in float32."""
    yield against_plain(plan.task("cgan", 8), plan.rounds, plan.target(2.1))
    yield against_plain(plan.task("cgan", 1), plan.rounds, plan.target(2.3))
    for batch in (8, 1):
        yield against_plain(plan.task("cgan", batch, "32"), plan.rounds, plan.target(1.1))


def wgan_gp(plan: Plan) -> Iterator[Result]:
    """Measures the critic's update of WGAN-GP."""
    for batch in (1, 8):
        yield against_plain(plan.task("wgan_gp", batch), plan.rounds, plan.target(1.45))


def egan(plan: Plan) -> Iterator[Result]:
    """Measures E-GAN's step against the naive algorithm, and against cGAN's step."""
    limits = None if plan.target(1) is None else (3.0, 1.3)
    for batch, rounds in ((1, plan.rounds), (8, 3)):
        yield against_plain(plan.task("egan", batch), rounds, plan.target(2.7))
        yield from evolution_against_cgan(plan.task("egan", batch), rounds, limits)


def small(plan: Plan) -> Iterator[Result]:
    """Measures steps where people train on a CPU: 64 px, small networks, small and usual batches."""
    widths = (16,) if plan.quick else (16, 32)
    for width in widths:
        for batch in (16,) if plan.quick else (16, 64):
            for variant, target in (("cgan", 1.5), ("egan", 2.0)):
                task = Task(variant, 64, batch, width, device=plan.device)
                yield against_plain(task, plan.rounds, plan.target(target))


def whole(plan: Plan) -> Iterator[Result]:
    """Measures what a whole run takes beside its steps."""
    images = 640 if plan.quick else IMAGES_A_VALIDATION
    for variant in ("cgan", "egan"):
        task = Task(variant, 64, 64, 16, device=plan.device)
        yield whole_run(task, plan.target(0.9), images)


def lab(plan: Plan) -> Iterator[Result]:
    """Measures colour conversion."""
    _cpu_engine()
    yield photographs.lab_conversion(plan.size, plan.rounds, plan.target(10.0))


def data(plan: Plan) -> Iterator[Result]:
    """Measures the way from files to batches."""
    _cpu_engine()
    yield photographs.photograph_to_batch(plan.size, plan.rounds, plan.target(20.0))


def metrics(plan: Plan) -> Iterator[Result]:
    """Measures the per-image metrics."""
    _cpu_engine()
    yield photographs.per_image_metrics(plan.size, plan.rounds, plan.target(10.0))


def parts(plan: Plan) -> Iterator[Result]:
    """Measures each optimisation of layers, Adam and batches alone, in the precision that `auto` chooses."""
    dtype = torch.bfloat16 if _cpu_engine().precision == "bf16-mixed" else torch.float32
    width = 16 if plan.quick else 64
    for batch in (1, 8):
        yield from layers(dtype, batch, width, plan.rounds)
    yield from others(width, plan.rounds)


def _cpu_engine() -> Engine:
    """Returns an engine as in training: it makes the process keep the memory that one batch frees for the next."""
    return Engine(EngineConfig(device="cpu"))


def logging(plan: Plan) -> Iterator[Result]:
    """Measures the time that tracking and checkpoints take."""
    task = Task("cgan", 64, 16, 16 if plan.quick else 64, device=plan.device)
    yield logging_and_checkpoints(task, 20 if plan.quick else 60, plan.target(0.02))


def sweep(plan: Plan) -> Iterator[Result]:
    """Measures several workers on one store."""
    yield trials_per_second(
        (1, 2) if plan.quick else (1, 2, 4), 4 if plan.quick else 16, plan.storage
    )


def report(plan: Plan) -> Iterator[Result]:
    """Measures the report of a large study."""
    yield from report_of(3, 3, 200) if plan.quick else report_of(10, 10, 5000, limits=(60.0, 2.0))


BENCHMARKS: dict[str, Callable[[Plan], Iterator[Result]]] = {
    "train": train,
    "wgan-gp": wgan_gp,
    "egan": egan,
    "small": small,
    "whole": whole,
    "lab": lab,
    "data": data,
    "metrics": metrics,
    "parts": parts,
    "logging": logging,
    "sweep": sweep,
    "report": report,
}


def run(name: str, plan: Plan) -> Iterator[Result]:
    """Runs a benchmark and yields its results.

    Raises:
        ColourbenchError: it does not fit into memory.
    """
    try:
        yield from BENCHMARKS[name](plan)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ColourbenchError(f"out of memory in the benchmark {name}; try --quick") from None


def chosen(names: list[str]) -> list[str]:
    """Returns the given names, or those of all benchmarks.

    Raises:
        ColourbenchError: there is no such benchmark.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise ColourbenchError(
                f"there is no benchmark {name!r}{did_you_mean(name, BENCHMARKS)}; there are {', '.join(BENCHMARKS)}"
            )
    return names or list(BENCHMARKS)


def device_for(wanted: str) -> str:
    """Resolves auto, cpu or cuda to cpu or cuda.

    Raises:
        ColourbenchError: there is no GPU, or no such device.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ColourbenchError(f"--device {wanted}: choose auto, cpu or cuda")
    return device_kind(wanted)

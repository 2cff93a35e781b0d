"""Timing in alternation: machines are shared, so two implementations are compared round by round."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

Work = Callable[[], object]
Timed = Callable[[], float]  # does something once and returns the seconds it took
WARM_UP = 2  # rounds that pay for allocations, caches and clocks


@dataclass(frozen=True)
class Alternated:
    """Seconds of two implementations, and how many times faster the second one was, round by round."""

    plain: list[float]
    product: list[float]

    @property
    def ratio(self) -> float:
        """The median speed-up over rounds."""
        return statistics.median(a / b for a, b in zip(self.plain, self.product, strict=True))


def alternate(plain: Timed, product: Timed, rounds: int) -> Alternated:
    """Times both in turn, after some warm-up rounds."""
    for _ in range(WARM_UP):
        plain()
        product()
    times = [(plain(), product()) for _ in range(rounds)]
    return Alternated([a for a, _ in times], [b for _, b in times])


def timed(work: Work) -> Timed:
    """Returns a function that does work on the CPU and returns its seconds."""
    return partial(seconds, work, torch.device("cpu"))


def seconds(work: Work, device: torch.device) -> float:
    """Returns the wall-clock seconds of one call, including the wait for a GPU."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def matrix_rate(dtype: torch.dtype, device: torch.device, rounds: int = 8) -> float:
    """Returns FLOP/s of a large matrix product, the best of several rounds: a measure of what the machine can do."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(rounds))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

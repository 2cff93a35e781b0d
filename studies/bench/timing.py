"""Timing in alternation: machines are shared, so two ways of doing a thing are compared round by round."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

Work = Callable[[], object]
Timed = Callable[[], float]  # does something once and says how many seconds it took
WARM_UP = 2  # rounds that pay for allocations, caches and clocks


@dataclass(frozen=True)
class Alternated:
    """Seconds of two ways of doing the same, and how many times faster the second one was, round by round."""

    plain: list[float]
    product: list[float]

    @property
    def ratio(self) -> float:
        """The median over rounds."""
        return statistics.median(a / b for a, b in zip(self.plain, self.product, strict=True))


def alternate(plain: Timed, product: Timed, rounds: int) -> Alternated:
    """Times both in turn."""
    for _ in range(WARM_UP):
        plain()
        product()
    times = [(plain(), product()) for _ in range(rounds)]
    return Alternated([a for a, _ in times], [b for _, b in times])


def timed(work: Work) -> Timed:
    """Work on the CPU, timed each time."""
    return partial(seconds, work, torch.device("cpu"))


def seconds(work: Work, device: torch.device) -> float:
    """Wall seconds of one call; a GPU is waited for."""
    _wait(device)
    begun = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begun


def matrix_rate(dtype: torch.dtype, device: torch.device, rounds: int = 8) -> float:
    """FLOP/s of a large matrix product: the machine's own measure of what is possible, its best of several rounds."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(rounds))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

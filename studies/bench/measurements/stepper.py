"""Training steps in a separate process, so that nothing else affects their memory or how it is allocated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from common.errors import ColourbenchError, first_line
from common.system.costs import CountFlops, peak_memory
from common.system.processes import OwnProcess
from studies.bench.tasks import Task, plain_step, product_step, product_variant
from studies.bench.timing import seconds

Who = Literal["plain", "product"]
T = TypeVar("T")


@dataclass(frozen=True)
class End:
    """What a stepper reports at its end: its process's peak memory (on a GPU, torch's there), FLOPs of a step, precision."""

    memory_gb: float
    flops: int
    precision: str


@contextmanager
def stepper(task: Task, who: Who) -> Iterator["Stepper"]:
    """A separate process that makes a training step on request.

    Raises:
        ColourbenchError: the step cannot be made, or does not fit into memory.
    """
    with OwnProcess() as process:
        yield Stepper(process, task, who)


class Stepper:
    """One side's training step, in another process."""

    def __init__(self, process: OwnProcess, task: Task, who: Who) -> None:
        self._process = process
        self._name = f"{who} {task.variant} of {task.size} px, batch {task.batch}"
        self._call(_make, who, task)

    def step(self) -> float:
        """Makes a step and returns its seconds.

        Raises:
            ColourbenchError: the step does not fit into memory.
        """
        return self._call(_timed_step)

    def end(self) -> End:
        """Makes a last step to count its FLOPs, and returns the process's figures."""
        return self._call(_last_step)

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return self._process.call(function, *arguments)
        except Exception as error:
            raise ColourbenchError(f"{self._name}: {first_line(error)}") from None


_made: dict[str, Any] = {}  # in the stepper's process: the step, its device, its precision


def _make(who: Who, task: Task) -> None:
    _made["device"] = torch.device(task.device)
    if who == "plain":
        if task.threads:
            torch.set_num_threads(task.threads)
        _made.update(step=plain_step(task), precision="32-true")
        return
    variant = product_variant(task)
    _made.update(step=product_step(task, variant), precision=variant.engine.precision)


def _timed_step() -> float:
    return seconds(_made["step"], _made["device"])


def _last_step() -> End:
    memory = peak_memory(_made["device"]) / 1e9
    with CountFlops() as counter:
        _made["step"]()
    return End(memory, int(counter.flops), _made["precision"])

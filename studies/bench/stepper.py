"""Training steps in a process of their own: their memory, and how it is allocated, are theirs alone."""

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from common.engine import peak_memory
from common.errors import ColourbenchError
from studies.bench.steps import Step, Task, plain_step, product_step, product_variant
from studies.bench.timing import seconds
from studies.estimate import CountFlops

Who = Literal["plain", "product"]


@dataclass(frozen=True)
class End:
    """What a stepper says when it ends: its process's peak (on a GPU what torch took there), operations of a step, precision."""

    memory_gb: float
    flops: int
    precision: str


class Stepper:
    """A process of its own that makes a training step when asked: its memory and its allocator are its own."""

    def __init__(self, task: Task, who: Who) -> None:
        self._name = f"{who} {task.variant} of {task.size} px, batch {task.batch}"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in __exit__)
        order = json.dumps({"who": who, "task": asdict(task)})
        command = [sys.executable, "-m", "studies.bench.stepper", order]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, bufsize=1)

    def __enter__(self) -> "Stepper":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def step(self) -> float:
        """Makes a step and returns its seconds.

        Raises:
            ColourbenchError: it does not fit into memory, or fails otherwise.
        """
        return float(self._ask("step"))

    def end(self) -> End:
        """Makes a last step to count its operations."""
        return End(**json.loads(self._ask("end")))

    def _ask(self, what: str) -> str:
        with suppress(BrokenPipeError):
            print(what, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline() if self._process.stdout else ""
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines() or ["killed; is there enough memory?"]
            raise ColourbenchError(f"{self._name}: {said[-1].removeprefix('common.errors.ColourbenchError: ')}")
        return answer


def _answer(who: Who, task: Task) -> None:
    """In the stepper's process."""
    step, precision = _made(who, task)
    device = torch.device(task.device)
    for line in sys.stdin:
        if line.strip() == "step":
            print(seconds(step, device), flush=True)
            continue
        memory = peak_memory(device) / 1e9
        with CountFlops() as counter:
            step()
        print(json.dumps(asdict(End(memory, int(counter.flops), precision))), flush=True)


def _made(who: Who, task: Task) -> tuple[Step, str]:
    if who == "plain":
        if task.threads:
            torch.set_num_threads(task.threads)
        return plain_step(task), "32-true"
    variant = product_variant(task)
    return product_step(task, variant), variant.engine.precision


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    _answer(given["who"], Task(**given["task"]))

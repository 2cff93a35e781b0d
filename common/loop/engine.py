"""Device, precision and ranks, through Lightning Fabric. Several ranks are started by torchrun.

Networks stay plain modules: no wrapper hides their parameters, so that the gradient penalty and the functional calls of
E-GAN work the same on one device and on many. Gradients are averaged over ranks in one place, `Engine.average`.
"""

import atexit
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from common.config import Settings
from common.errors import ColourbenchError
from common.fast import switch
from common.fast.memory import keep_freed_memory
from common.loop.randomness import noise_of_rank
from common.loop.shared_norm import share_statistics
from common.system.costs import forget_process_peak, peak_memory
from common.system.processor import processor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
Precision = Literal["32-true", "bf16-mixed"]

# the run's own log says which precision was chosen
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


class EngineConfig(Settings):
    """The device, precision and threads that a run computes with."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` uses a GPU if there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """`bf16` computes convolutions in bfloat16 and keeps float32 weights; `auto` does so if the device has instructions for it;
    its choice is kept with the run, even if the run is resumed on another machine."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads; 0 uses torch's default. Another number rounds sums differently, and training magnifies that: after 60 steps a
    weight differed by 0.11."""
    fast: bool = True
    """Faster convolutions, Adam, colour conversion and memory settings; `false` uses plain torch: slower, equal up to rounding."""

    @field_validator("precision", mode="before")
    @classmethod
    def _number(cls, precision: object) -> object:
        """Accepts the number 32 too: YAML reads 32 as a number."""
        return "32" if precision == 32 else precision


class Engine:
    """The device of tensors, the precision of forward passes, and the communication between ranks."""

    def __init__(self, config: EngineConfig) -> None:
        kind = device_kind(config.device)
        self.fast = config.fast
        switch.turn(config.fast)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.precision = _precision(config.precision, kind)
        self._fabric = _fabric(kind, self.precision)
        self.device = self._fabric.device
        if kind == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            if config.fast:
                keep_freed_memory()
            forget_process_peak()
        self.rank = self._fabric.global_rank
        self.ranks = self._fabric.world_size

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which networks run forward."""
        return self._fabric.autocast()

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each tensor over all ranks; on one rank the tensors themselves."""
        if self.ranks == 1:
            return list(tensors)
        return [
            cast(Tensor, self._fabric.all_reduce(tensor.float(), reduce_op="mean"))
            for tensor in tensors
        ]

    def broadcast(self, value: T) -> T:
        """Returns rank 0's value on every rank."""
        return value if self.ranks == 1 else self._fabric.broadcast(value)

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank, on rank 0; nothing on the others. Tensors in it must lie on the CPU."""
        if self.ranks == 1:
            return [value]
        gathered: list[Any] | None = [None] * self.ranks if self.rank == 0 else None
        torch.distributed.gather_object(value, gathered)
        return gathered or []

    def any(self, flag: bool) -> bool:
        """Whether a flag is set on any rank."""
        if self.ranks == 1:
            return flag
        (share,) = self.average([torch.tensor(float(flag), device=self.device)])
        return bool(share > 0)

    def per_image(self, images: int) -> Tensor:
        """U[0, 1) for each image of this rank, (images, 1, 1, 1); drawn for the whole batch, so that ranks draw as one would."""
        drawn = torch.rand(images * self.ranks, 1, 1, 1, device=self.device)
        return drawn[self.rank * images : (self.rank + 1) * images]

    def own_noise(self) -> AbstractContextManager[None]:
        """A context in which random draws differ between ranks, for dropout; the stream that all ranks share stays in step."""
        return nullcontext() if self.ranks == 1 else noise_of_rank(self.rank, self.device)

    def share_of(self, images: int) -> int:
        """How many of so many images fall to this rank; all ranks have equally many, so a rest is rounded up."""
        return math.ceil(images / self.ranks)

    def share(self, network: nn.Module) -> nn.Module:
        """Makes a network's batch norms, in place, use the images of all ranks."""
        return network if self.ranks == 1 else share_statistics(network)

    def synchronise(self) -> None:
        """Waits for the device, so that a time measured next is correct."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> int:
        """Bytes: the device's peak since this engine was made; on a CPU the whole process's."""
        return peak_memory(self.device)


def device_kind(wanted: str) -> str:
    """Resolves auto, cpu or cuda to cpu or cuda.

    Raises:
        ColourbenchError: a GPU is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ColourbenchError("engine.device is cuda and torch finds no GPU here; use cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def ranks() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first_rank() -> bool:
    """Whether this process prints and writes for all ranks."""
    return ranks() == 1 or os.environ.get("RANK", "0") == "0"


def _fabric(kind: str, precision: Precision) -> "Fabric":
    with _without_torchmetrics():
        # it takes seconds to import, and settings are checked without it
        from lightning_fabric import (
            Fabric,
        )
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    # it announces the precision, which the run says itself
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

    if ranks() == 1:
        # without this Fabric takes a Slurm job, or merely a machine that has `srun`, for a launch on several nodes
        return Fabric(
            accelerator=kind, devices=1, precision=precision, plugins=[LightningEnvironment()]
        )
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    started: list[Any] = [TorchElasticEnvironment()]
    fabric = Fabric(
        accelerator=kind,
        devices=local,
        num_nodes=ranks() // local,
        strategy="ddp",
        precision=precision,
        plugins=started,
    )
    fabric.launch()
    atexit.register(_leave)
    return fabric


@contextmanager
def _without_torchmetrics() -> Iterator[None]:
    """Hides torchmetrics from Fabric, which imports it and torchvision (six seconds) for a version check not needed here."""
    is_there = "torchmetrics" in sys.modules
    if not is_there:
        sys.modules["torchmetrics"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not is_there:
            del sys.modules["torchmetrics"]


def _leave() -> None:
    """Destroys the process group before the interpreter exits: its threads would abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _precision(wanted: str, kind: str) -> Precision:
    if wanted == "auto":
        fast = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if kind == "cuda"
            else processor().multiplies_bf16
        )
        return "bf16-mixed" if fast else "32-true"
    return "bf16-mixed" if wanted == "bf16" else "32-true"

"""Device, precision and ranks, through Lightning Fabric. Several ranks are started by torchrun.

Networks stay plain modules: no wrapper hides their parameters, so that the gradient penalty and the functional calls of
E-GAN work the same on one device and on many. Gradients are averaged over ranks in one place, `Engine.average`.
"""

import atexit
import ctypes
import logging
import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from common.config import Settings
from common.errors import ColourbenchError
from common.networks.shared_norm import share_statistics
from common.processor import processor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
Precision = Literal["32-true", "bf16-mixed"]
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the run's own log says which precision was chosen


class EngineConfig(Settings):
    """Where and how precisely a run computes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """`bf16` computes convolutions in bfloat16 and keeps float32 weights; `auto` does so where the device has instructions for it;
    what it chose is kept with the run, also where that goes on on another machine."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads; 0 takes torch's own choice. Sums are rounded otherwise with another number, and training magnifies that: after
    60 steps a weight was 0.11 apart."""

    @field_validator("precision", mode="before")
    @classmethod
    def _number(cls, precision: object) -> object:
        """YAML reads 32 as a number."""
        return "32" if precision == 32 else precision


class Engine:
    """Where tensors live, in which precision forwards run, and how ranks agree."""

    def __init__(self, config: EngineConfig) -> None:
        kind = device_kind(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.precision = _precision(config.precision, kind)
        self._fabric = _fabric(kind, self.precision)
        self.device = self._fabric.device
        if kind == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _keep_freed_memory()
            _forget_process_peak()
        self.rank, self.ranks = self._fabric.global_rank, self._fabric.world_size

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which networks run forward."""
        return self._fabric.autocast()

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each tensor over all ranks; on one rank the tensors themselves."""
        if self.ranks == 1:
            return list(tensors)
        return [cast(Tensor, self._fabric.all_reduce(tensor.float(), reduce_op="mean")) for tensor in tensors]

    def broadcast(self, value: T) -> T:
        """What rank 0 has, on every rank."""
        return value if self.ranks == 1 else self._fabric.broadcast(value)

    def any(self, flag: bool) -> bool:
        """Whether a flag is set on any rank."""
        if self.ranks == 1:
            return flag
        (share,) = self.average([torch.tensor(float(flag), device=self.device)])
        return bool(share > 0)

    def per_image(self, images: int) -> Tensor:
        """A number from U[0, 1) for each image of this rank's share: drawn for the whole batch, so that ranks draw as one would."""
        drawn = torch.rand(images * self.ranks, 1, 1, 1, device=self.device)
        return drawn[self.rank * images : (self.rank + 1) * images]

    def own_noise(self) -> AbstractContextManager[None]:
        """Draws inside differ from rank to rank, for dropout; the random stream that all ranks share stays one."""
        return nullcontext() if self.ranks == 1 else _noise_of(self.rank, self.device)

    def share(self, network: nn.Module) -> nn.Module:
        """A network whose batch norms are over the images of all ranks."""
        return network if self.ranks == 1 else share_statistics(network)

    def synchronise(self) -> None:
        """Waits for the device, so that a clock read next tells the truth."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> int:
        """Bytes: the device's peak since this engine was made; on a CPU the whole process's."""
        return peak_memory(self.device)


def device_kind(wanted: str) -> str:
    """auto, cpu or cuda as cpu or cuda.

    Raises:
        ColourbenchError: a GPU is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ColourbenchError("engine.device is cuda and torch finds no GPU here; use cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def peak_memory(device: torch.device) -> int:
    """Bytes that torch has taken on a GPU at most; on a CPU the peak of the whole process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _process_peak()


def ranks() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first_rank() -> bool:
    """Whether this process speaks and writes for all."""
    return ranks() == 1 or os.environ.get("RANK", "0") == "0"


def _fabric(kind: str, precision: Precision) -> "Fabric":
    with _without_torchmetrics():
        from lightning_fabric import Fabric  # it takes seconds to import, and settings are checked without it
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if ranks() == 1:
        # without this Fabric takes a Slurm job, or merely a machine that has `srun`, for a start over several nodes
        return Fabric(accelerator=kind, devices=1, precision=precision, plugins=[LightningEnvironment()])
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    started: list[Any] = [TorchElasticEnvironment()]
    fabric = Fabric(
        accelerator=kind, devices=local, num_nodes=ranks() // local, strategy="ddp", precision=precision, plugins=started
    )
    fabric.launch()
    atexit.register(_leave)
    return fabric


@contextmanager
def _without_torchmetrics() -> Iterator[None]:
    """Fabric imports torchmetrics, and with it torchvision, to look at a version that it needs for nothing here: six seconds."""
    is_there = "torchmetrics" in sys.modules
    if not is_there:
        sys.modules["torchmetrics"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not is_there:
            del sys.modules["torchmetrics"]


def _leave() -> None:
    """Ends the group before the interpreter ends: its threads would abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def seed_everything(seed: int) -> None:
    """Seeds python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def own_randomness() -> Iterator[None]:
    """Draws inside do not move the random stream outside: what comes after does not depend on whether there is a critic."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(int(torch.randint(2**62, ())))
        yield


@contextmanager
def _noise_of(rank: int, device: torch.device) -> Iterator[None]:
    """A stream of this rank's own, begun from the common one, which moves on only where something was drawn."""
    with own_randomness():
        torch.manual_seed(torch.initial_seed() + rank)
        before = _stream(device)
        yield
        drawn = not torch.equal(before, _stream(device))
    if drawn:
        torch.rand(())


def _stream(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def random_state() -> dict[str, Any]:
    """The state of every global random generator, as tensors and plain values."""
    version, internal, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(internal), gauss],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Undoes everything drawn since `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _precision(wanted: str, kind: str) -> Precision:
    if wanted == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if kind == "cuda" else processor().multiplies_bf16
        return "bf16-mixed" if fast else "32-true"
    return "bf16-mixed" if wanted == "bf16" else "32-true"


def _process_peak() -> int:
    """Linux forgets its high-water mark when an engine is made, so that a run does not inherit that of the run before it."""
    status = Path("/proc/self/status")
    marks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")] if status.exists() else []
    if marks:
        return int(marks[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _forget_process_peak() -> None:
    with suppress(AttributeError):
        _libc().malloc_trim(0)  # what an earlier run in this process left is not this one's
    with suppress(OSError):  # elsewhere, or where it is not allowed, the peak stays the process's
        Path("/proc/self/clear_refs").write_text("5")


def _keep_freed_memory() -> None:
    """Asks glibc not to hand freed memory back: every step wants it again, and fresh pages are dear."""
    with suppress(AttributeError):  # another C library
        _libc().mallopt(M_MMAP_THRESHOLD, 2**30)
        _libc().mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)

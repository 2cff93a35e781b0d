"""What a computation costs: floating-point operations and peak memory."""

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class CountFlops(TorchDispatchMode):
    """Counts by torch's own formulas. Its FlopCounterMode also tracks modules, which fails where activations are recomputed."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        self.flops += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out


def peak_memory(device: torch.device) -> int:
    """Peak number of bytes that torch has allocated on a GPU; on a CPU, the peak of the whole process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _process_peak()


def _process_peak() -> int:
    """The high-water mark of resident memory, in bytes."""
    status = Path("/proc/self/status")
    marks = (
        [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if status.exists()
        else []
    )
    if marks:
        return int(marks[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def forget_process_peak() -> None:
    """Restarts the high-water mark of this process, so that a run does not inherit that of the run before it."""
    with suppress(AttributeError):
        # memory left by an earlier run in this process must not count
        ctypes.CDLL(None).malloc_trim(0)
    # where this is impossible or forbidden, the peak stays that of the whole process
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means a lack of memory: on a GPU torch has a type for it, on a CPU only a text."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(
        error
    )

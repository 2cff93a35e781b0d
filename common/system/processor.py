"""This machine's processor, and those of its instructions that matter for training."""

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
OF_INTEREST = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd", "bf16", "sve")


@dataclass(frozen=True)
class Processor:
    """A processor's name, and those of its instructions that determine the speed of matrix products, the fastest first."""

    name: str
    instructions: tuple[str, ...]

    @property
    def multiplies_bf16(self) -> bool:
        """Whether it has instructions for bfloat16; without them bfloat16 is emulated, and slower than float32."""
        return bool({"amx_bf16", "avx512_bf16", "bf16"} & set(self.instructions))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.instructions) or 'instructions unknown'})"


@cache
def processor() -> Processor:
    """This machine's processor."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    flags = set((_field(text, "flags") or _field(text, "Features")).split())
    name = _field(text, "model name") or platform.processor() or platform.machine()
    return Processor(name, tuple(flag for flag in OF_INTEREST if flag in flags))


def _field(text: str, name: str) -> str:
    return next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), ""
    )

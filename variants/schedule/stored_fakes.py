"""The fakes that a critic is pretrained on, made once by a generator that does not train meanwhile (DeOldify's NoGAN)."""

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from common.colour import lab
from common.data.batches import Batch


class StoredFakes:
    """Colourised photographs and their labels; 8 bits like the real photographs, so that precision does not give the fakes away."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._photographs: UInt8[Tensor, "n 3 h w"] | None = None
        self._labels: Tensor | None = None
        self._made_at = -1  # the generator's update count when the fakes were made

    def __len__(self) -> int:
        return 0 if self._photographs is None else len(self._photographs)

    def wants_more(self, updates: int) -> bool:
        """Whether more fakes must be made; if the generator was updated since, all stored ones are outdated and are dropped."""
        if updates != self._made_at:
            self._photographs = None
            self._labels = None
            self._made_at = updates
        return len(self) < self._capacity

    def add(self, L: Tensor, ab: Tensor, label: Tensor) -> None:
        """Stores fakes with the colours `ab` (B, 2, H, W) for `L` (B, 1, H, W)."""
        new = lab.to_photographs(L, ab)  # (B, 3, H, W), uint8
        self._photographs = (
            new if self._photographs is None else torch.cat([self._photographs, new])
        )
        self._labels = label if self._labels is None else torch.cat([self._labels, label])

    def draw(self, count: int) -> Batch:
        """Draws `count` stored fakes with replacement."""
        if self._photographs is None or self._labels is None:
            raise LookupError("no fakes are stored")
        indices = torch.randint(len(self), (count,)).to(self._photographs.device)
        L, ab = lab.to_network(self._photographs[indices])
        return Batch(L, ab, self._labels[indices])

    def state_dict(self) -> dict[str, Any]:
        """The stored fakes, as tensors on the CPU and plain values."""
        on_cpu = {
            name: None if tensor is None else tensor.cpu()
            for name, tensor in {"photographs": self._photographs, "labels": self._labels}.items()
        }
        return {**on_cpu, "made_at": self._made_at}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restores `state_dict`."""
        self._photographs, self._labels = (
            None if state[name] is None else state[name].to(device)
            for name in ("photographs", "labels")
        )
        self._made_at = state["made_at"]

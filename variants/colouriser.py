"""A trained generator as a user gets it: colours for an L, once or in several versions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from common.engine import Engine
from common.errors import ColourbenchError
from common.networks.generator import GeneratorNetwork
from variants.player import forward
from variants.settings import TestTime


class Colouriser:
    """L (B, 1, H, W) -> ab (B, 2, H, W), with `test_time`'s norm and dropout; H and W are multiples of `stride`."""

    def __init__(self, network: GeneratorNetwork, engine: Engine, size: int, test_time: TestTime) -> None:
        self.network, self.engine, self.size, self.test_time = network, engine, size, test_time

    @property
    def stride(self) -> int:
        """Sides of what is colourised are multiples of this."""
        return int(self.network.stride)

    @property
    def is_noisy(self) -> bool:
        """Whether the generator can give several versions: whether it has dropout."""
        return any(isinstance(module, _DropoutNd) and module.p > 0 for module in self.network.modules())

    def __call__(self, L: Float[Tensor, "b 1 h w"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 2 h w"]:
        """The colours, for a label where the generator was trained with labels; without one they are those for any."""
        return self._run(self.test_time, L, label)

    def sample(self, L: Float[Tensor, "b 1 h w"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 2 h w"]:
        """One version: running batch statistics, and dropout as the noise z.

        Raises:
            ColourbenchError: the generator has no dropout, so that every version would be the same.
        """
        if not self.is_noisy:
            raise ColourbenchError(
                "this generator has no dropout and colours a photograph in one way only; "
                "train one with variant.generator.network.dropout=0.5"
            )
        return self._run("noise", L, label)

    @torch.no_grad()
    def _run(self, test_time: TestTime, L: Tensor, label: Tensor | None) -> Tensor:
        was_training = self.network.training
        kept = [buffer.clone() for buffer in self.network.buffers()]
        set_mode(self.network, test_time)
        inputs = (L,) if label is None else (L, label)
        ab: Tensor = forward(self.network, self.engine, *inputs).ab
        self.network.train(was_training)
        for buffer, value in zip(self.network.buffers(), kept, strict=True):
            buffer.copy_(value)  # looking must not move the running statistics
        return ab


def set_mode(network: nn.Module, test_time: TestTime) -> None:
    """Puts norms and dropout into the state that `test_time` names."""
    network.train(test_time in ("batch", "dropout"))
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.train(test_time in ("noise", "dropout"))

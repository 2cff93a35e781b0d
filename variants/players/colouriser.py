"""A trained generator as a user gets it: colours for an L, once or in several versions."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.networks.generator import GeneratorNetwork
from variants.players.calibration import Statistics, restored, take_over
from variants.players.player import forward
from variants.players.settings import TestTime


class Colouriser:
    """L (B, 1, H, W) -> ab (B, 2, H, W), with `test_time`'s norm and dropout; H and W are multiples of `stride`.

    Args:
        calibrate: computes batch statistics for the generator as it stands; without it, it runs with those that it holds. They
            are computed once, when they are first wanted: a colouriser is made anew for each look.
    """

    def __init__(
        self,
        network: GeneratorNetwork,
        engine: Engine,
        size: int,
        test_time: TestTime,
        calibrate: Callable[[], Statistics] | None = None,
    ) -> None:
        self.network, self.engine, self.size, self.test_time = network, engine, size, test_time
        self._calibrate = calibrate

    @cached_property
    def statistics(self) -> Statistics:
        """The batch statistics that take the place of the network's own."""
        return self._calibrate() if self._calibrate else {}

    def prepare(self) -> dict[str, float]:
        """Computes the statistics now, and says for the log how long it took; empty where there are none to compute."""
        begun = time.perf_counter()
        found = self.statistics
        return {"calibration_seconds": time.perf_counter() - begun} if found else {}

    def state_dict(self) -> dict[str, Any]:
        """The generator's weights, with the statistics that it colourises with."""
        return self.network.state_dict() | self.statistics

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
        """One version: the batch statistics of a test, and dropout as the noise z.

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
        statistics = self.statistics
        with restored(self.network):  # looking must not move the running statistics
            take_over(self.network, statistics)
            set_mode(self.network, test_time)
            inputs = (L,) if label is None else (L, label)
            ab: Tensor = forward(self.network, self.engine, *inputs).ab
        return ab


def set_mode(network: nn.Module, test_time: TestTime) -> None:
    """Puts norms and dropout into the state that `test_time` names."""
    network.train(test_time in ("batch", "dropout"))
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.train(test_time in ("noise", "dropout"))

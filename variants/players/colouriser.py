"""The trained generator that a user gets: it predicts ab from L, in one version or in several."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from common.colour.hints import seen
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.networks.generator import GeneratorNetwork
from variants.players.calibration import Statistics, restored, take_over
from variants.players.player import forward
from variants.players.settings import TestTime


class Colouriser:
    """L (B, 1, H, W) -> ab (B, 2, H, W), with batch norm and dropout as `test_time` says; H and W are multiples of `stride`.

    Args:
        calibrate: computes batch statistics for the current generator; without it, the generator uses its own. They are computed
            once, when first needed: each validation makes a new colouriser.
    """

    def __init__(
        self,
        network: GeneratorNetwork,
        engine: Engine,
        size: int,
        test_time: TestTime,
        calibrate: Callable[[], Statistics] | None = None,
    ) -> None:
        self.network = network
        self.engine = engine
        self.size = size
        self.test_time = test_time
        self._calibrate = calibrate

    @cached_property
    def statistics(self) -> Statistics:
        """The batch statistics that replace the network's own."""
        return self._calibrate() if self._calibrate else {}

    def prepare(self) -> dict[str, float]:
        """Computes the statistics now and returns, for the log, how long it took; empty if there are none to compute."""
        started = time.perf_counter()
        statistics = self.statistics
        return {"calibration_seconds": time.perf_counter() - started} if statistics else {}

    def state_dict(self) -> dict[str, Any]:
        """The generator's weights, with the batch statistics that it uses to colourise."""
        return self.network.state_dict() | self.statistics

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this."""
        return int(self.network.stride)

    @property
    def is_noisy(self) -> bool:
        """Whether the generator has dropout and can therefore give several versions."""
        return any(
            isinstance(module, _DropoutNd) and module.p > 0 for module in self.network.modules()
        )

    @property
    def takes_hints(self) -> bool:
        """Whether the generator takes colour hints."""
        return self.network.inputs > 1

    def __call__(
        self,
        L: Float[Tensor, "b 1 h w"],
        label: Int[Tensor, " b"] | None = None,
        hints: Float[Tensor, "b 3 h w"] | None = None,
    ) -> Float[Tensor, "b 2 h w"]:
        """Predicts ab; a label has an effect only if the generator was trained with labels, and None means an unknown label.

        Raises:
            ValueError: there are hints, and the generator takes none.
        """
        return self._run(self.test_time, seen(L, hints, self.network.inputs), label)

    def sample(
        self,
        L: Float[Tensor, "b 1 h w"],
        label: Int[Tensor, " b"] | None = None,
        hints: Float[Tensor, "b 3 h w"] | None = None,
    ) -> Float[Tensor, "b 2 h w"]:
        """One random version: with the batch statistics of a test, and with dropout as the noise z.

        Raises:
            ColourbenchError: the generator has no dropout, so that every version would be the same.
        """
        if not self.is_noisy:
            raise ColourbenchError(
                "this generator has no dropout and colours a photograph in one way only; "
                "train one with variant.generator.network.dropout=0.5"
            )
        return self._run("noise", seen(L, hints, self.network.inputs), label)

    @torch.no_grad()
    def _run(self, test_time: TestTime, sight: Tensor, label: Tensor | None) -> Tensor:
        statistics = self.statistics
        with restored(self.network):  # colourising must not change the running statistics
            take_over(self.network, statistics)
            set_mode(self.network, test_time)
            inputs = (sight,) if label is None else (sight, label)
            ab: Tensor = forward(self.network, self.engine, *inputs).ab
        return ab


def set_mode(network: nn.Module, test_time: TestTime) -> None:
    """Sets norms and dropout to training or evaluation mode as `test_time` says."""
    network.train(test_time in ("batch", "dropout"))
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.train(test_time in ("noise", "dropout"))

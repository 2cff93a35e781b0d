"""Batch norm over the whole batch when it is split across ranks. torch's own SyncBatchNorm works on GPUs only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size

from common.errors import ColourbenchError


class SharedBatchNorm2d(nn.BatchNorm2d):
    """In training mode, mean and variance are computed over the images of all ranks; gradients flow back to all ranks too."""

    is_shared = True

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and self.is_shared):
            own: Tensor = super().forward(input)
            return own
        x = input.float()
        # every rank has equally many images
        count = x.numel() / x.shape[1] * get_world_size()
        mean = _sum_over_ranks(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normalised = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        scaled: Tensor = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if (
            self.running_mean is None
            or self.running_var is None
            or self.num_batches_tracked is None
        ):
            return
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(variance, self.momentum or 0.0)


class SharedBatchNormAct2d(SharedBatchNorm2d):
    """The same for timm's batch norm, which most of its encoders use: it ends with dropout and an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


class _SumOverRanks(torch.autograd.Function):
    """All-reduce with a gradient: each rank's value affects every rank's sum, so the backward pass sums over ranks too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        all_reduce(total)
        return total


def _sum_over_ranks(x: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(x)
    return total


def share_statistics(network: nn.Module) -> nn.Module:
    """Replaces every batch norm of a network, in place, with one over all ranks.

    Raises:
        ColourbenchError: it has a kind of batch norm that is not known here.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            # the same parameters and buffers, another forward
            module.__class__ = _shared_kind(module)
    return network


def _shared_kind(module: nn.Module) -> type[SharedBatchNorm2d]:
    kind = type(module)
    if issubclass(kind, SharedBatchNorm2d):
        return kind
    if kind is nn.BatchNorm2d:
        return SharedBatchNorm2d
    if kind.__name__ == "BatchNormAct2d":
        return SharedBatchNormAct2d
    raise ColourbenchError(
        f"a network with {kind.__name__} cannot be trained on several devices; use one, or another encoder"
    )


@contextmanager
def unshared(network: nn.Module) -> Iterator[None]:
    """Inside this context, batch norms use only this rank's images, so that one rank can run the network while others wait."""
    shared = [module for module in network.modules() if isinstance(module, SharedBatchNorm2d)]
    for norm in shared:
        norm.is_shared = False
    try:
        yield
    finally:
        for norm in shared:
            norm.is_shared = True

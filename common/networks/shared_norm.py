"""Batch norm over the whole batch when it is split across ranks. torch's own SyncBatchNorm works on GPUs only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size


class SharedBatchNorm2d(nn.BatchNorm2d):
    """In training mode, mean and variance are computed over the images of all ranks; gradients flow back to all ranks too."""

    is_shared = True

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and self.is_shared):
            own: Tensor = super().forward(input)
            return own
        x = input.float()
        count = x.numel() / x.shape[1] * get_world_size()  # every rank has equally many images
        mean = _sum_over_ranks(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normalised = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        scaled: Tensor = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(variance, self.momentum or 0.0)


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
    """Replaces every batch norm of a network, in place, with one over all ranks."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # the same parameters and buffers, another forward
    return network


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

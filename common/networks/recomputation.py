"""Gradient checkpointing: activations of a block are forgotten after its forward and computed again in the backward.

Called so, and not "checkpointing", because a checkpoint is a file here.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.utils.checkpoint import checkpoint


def recompute(network: nn.Module) -> int:
    """Switches it on for the outermost blocks of a network and returns their number; the mathematics stay the same."""
    blocks = list(_blocks(network))
    for block in blocks:
        block.forward = partial(_forgetful, block, block.forward)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Members of a Sequential or ModuleList that hold layers of their own."""
    for child in module.children():
        if isinstance(module, nn.Sequential | nn.ModuleList) and any(True for _ in child.children()):
            yield child
        else:
            yield from _blocks(child)


def _forgetful(block: nn.Module, forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(block)))


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """The second forward must not move running statistics and power iterations a second time."""
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d) and m.training and m.track_running_stats]
    spectral = [m for m in block.modules() if isinstance(m, _SpectralNorm) and m.training]
    for norm in norms:
        norm.track_running_stats = False
    for power_iteration in spectral:
        power_iteration.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for power_iteration in spectral:
            power_iteration.train()

"""Gradient checkpointing: activations of a block are forgotten after its forward and computed again in the backward.

Called so, and not "checkpointing", because a checkpoint is a file here.
"""

from collections.abc import Iterator
from contextlib import nullcontext
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
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _AsItWas(block)))


class _AsItWas:
    """The second forward sees the weights of the first, which a functional call may have lent to the block.

    It must not move running statistics and power iterations again. Entered once for every backward.
    """

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._weights = [(module, dict(module._parameters)) for module in block.modules()]

    def __enter__(self) -> None:
        self._own = [(module, dict(module._parameters)) for module, _ in self._weights]
        for module, weights in self._weights:
            module._parameters.update(weights)
        self._kept = [(module, dict(module._buffers)) for module in self._block.modules()]
        self._spectral = [m for m in self._block.modules() if isinstance(m, _SpectralNorm) and m.training]
        for module, buffers in self._kept:
            module._buffers.update({name: None if buffer is None else buffer.clone() for name, buffer in buffers.items()})
        for power_iteration in self._spectral:
            power_iteration.eval()

    def __exit__(self, *_: object) -> None:
        for module, weights in self._own:
            module._parameters.update(weights)
        for module, buffers in self._kept:
            module._buffers.update(buffers)
        for power_iteration in self._spectral:
            power_iteration.train()

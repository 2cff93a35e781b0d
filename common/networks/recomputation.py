"""Gradient checkpointing: a block's activations are discarded after its forward pass and recomputed in the backward pass.

It is called recomputation here because "checkpoint" means a saved file in this project.
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
    """Switches recomputation on for a network's outermost blocks and returns their number; the mathematics stay the same."""
    blocks = list(_blocks(network))
    for block in blocks:
        block.forward = partial(_forgetful, block, block.forward)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Members of a Sequential or ModuleList that contain layers of their own."""
    for child in module.children():
        if isinstance(module, nn.Sequential | nn.ModuleList) and any(
            True for _ in child.children()
        ):
            yield child
        else:
            yield from _blocks(child)


def _forgetful(block: nn.Module, forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _AsItWas(block))
    )


class _AsItWas:
    """Gives the recomputed forward pass the weights of the first one, which a functional call may have substituted.

    Running statistics and power iterations must not be updated again. Entered once for every backward pass.
    """

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._weights = [(module, dict(module._parameters)) for module in block.modules()]

    def __enter__(self) -> None:
        self._own = [(module, dict(module._parameters)) for module, _ in self._weights]
        for module, weights in self._weights:
            module._parameters.update(weights)
        self._kept = [(module, dict(module._buffers)) for module in self._block.modules()]
        self._spectral = [
            m for m in self._block.modules() if isinstance(m, _SpectralNorm) and m.training
        ]
        for module, buffers in self._kept:
            module._buffers.update(
                {
                    name: None if buffer is None else buffer.clone()
                    for name, buffer in buffers.items()
                }
            )
        for power_iteration in self._spectral:
            power_iteration.eval()

    def __exit__(self, *_: object) -> None:
        for module, weights in self._own:
            module._parameters.update(weights)
        for module, buffers in self._kept:
            module._buffers.update(buffers)
        for power_iteration in self._spectral:
            power_iteration.train()

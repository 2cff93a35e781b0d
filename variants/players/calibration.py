"""Batch statistics for a look at a generator, computed anew over training images.

Running statistics follow the last few batches only. A generator that learns against a critic changes faster than that, so that
with them its figures jump from one look to the next: much of the spread of cGANs over seeds was theirs. Here they are reset
and averaged evenly over the first images of the run's own stream (Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", §3).
Dropout is off, as it is when the generator colourises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.networks.shared_norm import unshared
from variants.players.player import forward

BATCH = 16
LOOK_IMAGES = 64  # for a look while the run trains …
TEST_IMAGES = 512  # … and for the test and the generator that users get

Statistics = dict[str, Tensor]  # buffers by their name in the network


@torch.no_grad()
def calibrated_statistics(network: nn.Module, engine: Engine, domain: Domain, images: int, labelled: bool) -> Statistics:
    """Mean and variance of every batch norm that learns, over `images` training images, or all where they are fewer.

    The network stays as it is. Empty where it has no batch norm, or where the domain has no photographs.
    """
    norms = _learning_norms(network)
    if domain.stream is None or not norms:
        return {}
    batches = max(1, min(images, domain.images or images) // BATCH)
    with restored(network), _averaging(list(norms.values())), unshared(network):
        for batch in islice(domain.stream(BATCH), batches):
            forward(network, engine, *_inputs(batch, engine, labelled))
        return {f"{name}.{key}": buffer.clone() for name, norm in norms.items() for key, buffer in norm.named_buffers()}


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """In evaluation mode; whatever is done inside to modes and buffers is undone."""
    was_training = network.training
    kept = [buffer.clone() for buffer in network.buffers()]
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
        for buffer, value in zip(network.buffers(), kept, strict=True):
            buffer.copy_(value)


def take_over(network: nn.Module, statistics: Statistics) -> None:
    """Puts statistics into a network."""
    buffers = dict(network.named_buffers())
    for name, value in statistics.items():
        buffers[name].copy_(value)


def _learning_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """Those that training moves: a frozen encoder's stay those of its own photographs."""
    was_training = network.training
    network.train()
    norms = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    found = {name: norm for name, norm in norms.items() if norm.training and norm.track_running_stats}
    network.train(was_training)
    return found


@contextmanager
def _averaging(norms: list[_BatchNorm]) -> Iterator[None]:
    """Each takes an even average over the batches that it sees, from none on."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _inputs(batch: Batch, engine: Engine, labelled: bool) -> tuple[Tensor, ...]:
    L = batch.L.to(engine.device)
    return (L, batch.label.to(engine.device)) if labelled else (L,)

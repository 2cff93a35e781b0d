"""Batch statistics for evaluating a generator, recomputed over training images.

Running statistics cover the last few batches only, yet a generator that trains against a critic changes faster than that. With
them, metrics jump from one validation to the next, and they caused much of the spread of cGANs over seeds. Here the statistics are
reset and averaged with equal weights over the first images of the run's own stream (Wu & Johnson 2021, "Rethinking 'Batch' in
BatchNorm", §3). Dropout is off, as it is when the generator colourises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.colour.hints import seen, training_hints
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.shared_norm import unshared
from variants.players.player import forward

MOST_AT_ONCE = 64  # images in a batch, where training has larger ones
LOOK_IMAGES = 64  # images for a validation during training
GOLDEN = 0.6180339887498949  # its multiples never repeat
TEST_IMAGES = 512  # images for the test and for the generator that users get

Statistics = dict[str, Tensor]  # buffers by name


@torch.no_grad()
def calibrated_statistics(
    network: Any, engine: Engine, domain: Domain, images: int, labelled: bool, at_once: int
) -> Statistics:
    """Mean and variance of every batch norm that trains, over `images` training images, or over all of them if there are fewer.

    They are drawn in batches of `at_once` images: a batch's variance depends on its size, so it should be that of training. The
    network is left unchanged. The result is empty if the network has no such batch norm or the domain has no photographs.
    """
    norms = _learning_norms(network)
    if domain.stream is None or not norms:
        return {}
    batches = max(1, min(images, domain.images or images) // at_once)
    with restored(network), _averaging(list(norms.values())), unshared(network):
        for number, batch in enumerate(islice(domain.stream(at_once), batches)):
            forward(network, engine, *_inputs(batch, number, network, engine, labelled))
        return {
            f"{name}.{key}": buffer.clone()
            for name, norm in norms.items()
            for key, buffer in norm.named_buffers()
        }


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode; on exit restores its mode and its buffers."""
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
    """Copies statistics into the buffers of a network."""
    buffers = dict(network.named_buffers())
    for name, value in statistics.items():
        buffers[name].copy_(value)


def _learning_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms whose statistics training updates; a frozen encoder keeps the statistics of its own pretraining."""
    was_training = network.training
    network.train()
    norms = {
        name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)
    }
    learning = {
        name: norm for name, norm in norms.items() if norm.training and norm.track_running_stats
    }
    network.train(was_training)
    return learning


@contextmanager
def _averaging(norms: list[_BatchNorm]) -> Iterator[None]:
    """Resets batch norms; inside, each averages its statistics over all batches with equal weights."""
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


def _inputs(
    batch: Batch, number: int, network: Any, engine: Engine, labelled: bool
) -> tuple[Tensor, ...]:
    """What the generator saw in training: for one that takes hints, random ones, the same at every call."""
    hints = None
    if network.inputs > 1:
        # evenly spread over [0, 1)
        random = torch.frac((torch.arange(len(batch)) + number * len(batch) + 1) * GOLDEN)
        hints = training_hints(batch.ab, random)
    L = seen(batch.L.to(engine.device), hints, network.inputs)
    return (L, batch.label.to(engine.device)) if labelled else (L,)

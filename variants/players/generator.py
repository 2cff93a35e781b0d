"""Builds the generator that a variant's settings describe, with random or with trained weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from common.data.domain import Domain
from common.loop.engine import Engine
from common.networks.generator import GeneratorNetwork, build_network, without_fetching
from variants.losses.reconstruction import head_for
from variants.players.colouriser import Colouriser

if TYPE_CHECKING:
    from variants.contract.variant import VariantConfig


def generator_network(config: "VariantConfig", domain: Domain, is_trained: bool = False) -> GeneratorNetwork:
    """A generator for photographs of a domain.

    Args:
        is_trained: the caller loads trained weights next, so no pretrained encoder is fetched and activations are not recomputed.
    """
    own = config.generator
    network = without_fetching(own.network) if is_trained else own.network
    classes = domain.classes if own.labels else 0
    return build_network(
        network, domain.size, classes, head_for(config.reconstruction), own.recompute and not is_trained, own.hints
    )


def trained_colouriser(config: "VariantConfig", engine: Engine, domain: Domain, weights: Mapping[str, Any]) -> Colouriser:
    """A colouriser with trained weights, without critic and optimisers."""
    network = generator_network(config, domain, is_trained=True)
    network.load_state_dict(weights)
    return Colouriser(network.to(engine.device, memory_format=torch.channels_last), engine, domain.size, config.test_time)  # type: ignore[call-overload]

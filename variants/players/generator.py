"""Builds the generator that a variant's settings describe, with random or with trained weights."""

from common.data.domain import Domain
from common.networks.generator import GeneratorNetwork, build_network, without_fetching
from variants.losses.reconstruction import ReconstructionConfig, head_for
from variants.players.settings import GeneratorConfig


def generator_network(
    config: GeneratorConfig,
    reconstruction: ReconstructionConfig,
    domain: Domain,
    is_trained: bool = False,
) -> GeneratorNetwork:
    """A generator for photographs of a domain.

    Args:
        reconstruction: the loss decides what the network ends in: colours, or a distribution over bins of colour.
        is_trained: the caller loads trained weights next, so no pretrained encoder is fetched and activations are not recomputed.
    """
    return build_network(
        without_fetching(config.network) if is_trained else config.network,
        domain.size,
        domain.classes if config.labels else 0,
        head_for(reconstruction),
        config.recompute and not is_trained,
        config.hints,
    )

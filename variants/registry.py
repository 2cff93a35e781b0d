"""The classes of all variants, and what is made with one. A new one costs a file, a line in names.py and a search space."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union

import torch
from pydantic import Field

from common.domain import Domain
from common.engine import Engine
from common.networks.generator import build_network, without_fetching
from variants.colouriser import Colouriser
from variants.names import CLASSES, check_name
from variants.reconstruction import head_for
from variants.settings import VariantConfig
from variants.variant import Variant


def _class_at(place: str) -> type[Variant]:
    module, _, name = place.partition(":")
    found: type[Variant] = getattr(import_module(module), name)
    return found


VARIANTS: dict[str, type[Variant]] = {name: _class_at(place) for name, place in CLASSES.items()}

if TYPE_CHECKING:
    AnyVariantConfig = VariantConfig
else:
    AnyVariantConfig = Annotated[Union[tuple(v.Config for v in VARIANTS.values())], Field(discriminator="name")]  # noqa: UP007


def variant_class(name: str) -> type[Variant]:
    """The class of a named variant.

    Raises:
        ColourbenchError: there is no such variant; the message lists those there are.
    """
    check_name(name)
    return VARIANTS[name]


def build(config: VariantConfig, engine: Engine, domain: Domain) -> Variant:
    """The variant that `config` describes, with freshly drawn weights."""
    return variant_class(config.name)(config, engine, domain)


def check(config: VariantConfig, domain: Domain) -> None:
    """Whether photographs of this domain fit the settings, before anything is built.

    Raises:
        ColourbenchError: they do not.
    """
    variant_class(config.name).check(config, domain)


def trained_colouriser(config: VariantConfig, engine: Engine, domain: Domain, weights: Mapping[str, Any]) -> Colouriser:
    """The generator that `config` describes with trained weights, without critic and optimisers."""
    generator = config.generator
    classes = domain.classes if generator.labels else 0
    network = build_network(without_fetching(generator.network), domain.size, classes, head_for(config.reconstruction))
    network.load_state_dict(weights)
    return Colouriser(network.to(engine.device, memory_format=torch.channels_last), engine, domain.size, config.test_time)  # type: ignore[call-overload]

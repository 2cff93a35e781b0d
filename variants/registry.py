"""Every variant by its name. A new one costs a file, a line here and a search space in studies/sweeps/spaces.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union

import torch
from pydantic import Field

from common.domain import Domain
from common.engine import Engine
from common.errors import ColourbenchError, did_you_mean
from common.networks.generator import build_network, without_fetching
from variants.cgan import Cgan
from variants.colouriser import Colouriser
from variants.egan import Egan
from variants.reconstruction import head_for
from variants.regression import Regression
from variants.settings import VariantConfig
from variants.variant import Variant
from variants.wgan_gp import WganGp

VARIANTS: dict[str, type[Variant]] = {
    "regression": Regression,
    "cgan": Cgan,
    "wgan_gp": WganGp,
    "egan": Egan,
}

if TYPE_CHECKING:
    AnyVariantConfig = VariantConfig
else:
    AnyVariantConfig = Annotated[Union[tuple(v.Config for v in VARIANTS.values())], Field(discriminator="name")]  # noqa: UP007


def variant_class(name: str) -> type[Variant]:
    """The class of a named variant.

    Raises:
        ColourbenchError: there is no such variant; the message lists those there are.
    """
    if name not in VARIANTS:
        raise ColourbenchError(
            f"there is no variant {name!r}{did_you_mean(name, VARIANTS)}; the variants are {', '.join(VARIANTS)}"
        )
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

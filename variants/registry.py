"""Every variant by its name. A new one costs a file, a line here and a search space in studies/spaces.py."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from common.engine import Engine
from common.errors import ColourbenchError, did_you_mean
from variants.cgan import Cgan
from variants.egan import Egan
from variants.regression import Regression
from variants.variant import Variant, VariantConfig
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


def build(config: VariantConfig, engine: Engine, size: int) -> Variant:
    """The variant that `config` describes, with freshly drawn weights."""
    return variant_class(config.name)(config, engine, size)

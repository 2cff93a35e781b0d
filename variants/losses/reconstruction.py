"""Losses between the colourised and the true photograph."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab
from common.colour.ab_bins import AbBins
from common.config import Settings
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.networks.colours import BinsHead, Colours, Head, TanhHead
from common.networks.encoders import Encoder, EncoderConfig

Scalar = Float[Tensor, ""]


class L1Config(Settings):
    """E‖ab - G(L)‖₁."""

    loss: Literal["l1"] = "l1"
    """l1, l2, huber, features (perceptual), or bins (classification of quantised ab)."""


class L2Config(Settings):
    """E‖ab - G(L)‖₂²."""

    loss: Literal["l2"] = "l2"
    """The loss."""


class HuberConfig(Settings):
    """L2 for small differences and L1 for large ones (Huber loss)."""

    loss: Literal["huber"] = "huber"
    """The loss."""
    delta: float = Field(default=0.05, gt=0, le=2)
    """Difference at which the loss changes from L2 to L1, in the networks' scale of ab."""


class FeaturesConfig(EncoderConfig):
    """Perceptual loss: distance between features of a fixed encoder, plus L1 on ab."""

    loss: Literal["features"] = "features"
    """The loss."""
    encoder: str = "vgg16_bn"
    """Name in timm of the encoder that computes the features."""
    pixel_weight: float = Field(default=1.0, ge=0)
    """Weight of L1 on ab; the feature distance has weight 1."""


class BinsConfig(Settings):
    """Classification of quantised ab, with larger weights for rare colours (Zhang et al. 2016); the generator predicts bins."""

    loss: Literal["bins"] = "bins"
    """The loss."""
    width: float = Field(default=10.0, ge=5, le=55)
    """Side length of an ab bin, in Lab units."""
    rebalancing: float = Field(default=0.5, gt=0, le=1)
    """λ of the class weights: mixes the colour distribution of the photographs (0) with a uniform one (1)."""
    temperature: float = Field(default=0.38, gt=0, le=1)
    """T of the annealed mean that turns a distribution over bins into one colour; 1 gives the plain mean, which is pale."""


ReconstructionConfig = Annotated[
    L1Config | L2Config | HuberConfig | FeaturesConfig | BinsConfig, Field(discriminator="loss")
]


class Reconstruction(ABC):
    """A loss between a generator's colours and the true colours of a batch."""

    @abstractmethod
    def __call__(self, fake: Colours, batch: Batch) -> Scalar:
        """The loss, averaged over images and pixels."""


class PixelLoss(Reconstruction):
    """A distance between ab values (Isola et al. 2017, eq. 3)."""

    def __init__(self, config: L1Config | L2Config | HuberConfig) -> None:
        self._config = config

    def __call__(self, fake: Colours, batch: Batch) -> Scalar:
        # so that large differences give L1, whatever δ
        match self._config:
            case L1Config():
                return F.l1_loss(fake.ab, batch.ab)
            case L2Config():
                return F.mse_loss(fake.ab, batch.ab)
            case HuberConfig(delta=delta):
                return F.huber_loss(fake.ab, batch.ab, delta=delta) / delta


class FeatureLoss(Reconstruction):
    """L1 on ab plus the mean over levels of Σ|φ(fake) - φ(real)| / Σ|φ(real)|; φ are an encoder's features of the sRGB photograph.

    It follows Johnson et al. 2016, eq. 2, but is relative at each level, so that the scale of an encoder's features has no effect.
    """

    def __init__(self, config: FeaturesConfig, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        encoder = Encoder(config).to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._encoder: Encoder = encoder.eval().requires_grad_(False)

    def __call__(self, fake: Colours, batch: Batch) -> Scalar:
        with torch.no_grad():
            real = self._features(batch.L, batch.ab)
        pairs = zip(self._features(batch.L, fake.ab), real, strict=True)
        distances = [
            (generated - true).abs().mean() / true.abs().mean().clamp(min=1e-6)
            for generated, true in pairs
        ]
        return (
            self._config.pixel_weight * F.l1_loss(fake.ab, batch.ab) + torch.stack(distances).mean()
        )

    def _features(self, L: Tensor, ab: Tensor) -> list[Tensor]:
        # (B, 3, H, W); outside autocast, which would round the products
        photographs = lab.lab_to_rgb(lab.join(L, ab))
        with self._engine.autocast():
            levels = self._encoder(photographs)
        return [level.float() for level in levels]


class BinsLoss(Reconstruction):
    """Cross-entropy with the bins of the true colours (Zhang et al. 2016, eq. 2); colours rare in the training split weigh more."""

    def __init__(self, config: BinsConfig, domain: Domain) -> None:
        self._bins = AbBins(config.width)
        self._weights = self._bins.rarity_weights(domain.sample_ab(), config.rebalancing)

    def __call__(self, fake: Colours, batch: Batch) -> Scalar:
        if fake.logits is None:
            raise TypeError("the generator's head gives no logits")
        return self._bins.cross_entropy(fake.logits, batch.ab, self._weights)


def build_reconstruction(config: Settings, domain: Domain, engine: Engine) -> Reconstruction:
    """The loss that `config` describes.

    Raises:
        ColourbenchError: the weights of its encoder are not available.
    """
    match config:
        case FeaturesConfig():
            return FeatureLoss(config, engine)
        case BinsConfig():
            return BinsLoss(config, domain)
        case L1Config() | L2Config() | HuberConfig():
            return PixelLoss(config)
    raise TypeError(f"no reconstruction is described by {type(config).__name__}")


def head_for(config: Settings) -> Head:
    """The generator's head that the loss needs."""
    return (
        BinsHead(AbBins(config.width), config.temperature)
        if isinstance(config, BinsConfig)
        else TanhHead()
    )

"""Layers that several networks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

NormName = Literal["batch", "instance", "layer", "none"]


def norm(name: NormName, channels: int) -> nn.Module:
    """A normalisation layer by name; "layer" is over channels and positions (GroupNorm with one group), "instance" over positions.

    nn.InstanceNorm2d silently gives wrong gradients for one image in channels-last layout on some processors (torch 2.15).
    """
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.GroupNorm(channels, channels, affine=False)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()


@contextmanager
def full_precision(x: Tensor) -> Iterator[None]:
    """A context that computes in float32 where the code around it runs in bfloat16; elsewhere it changes nothing."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        yield  # an exported program must not hold a context of its own
        return
    with torch.autocast(kind, enabled=False):
        yield


class FullPrecision(nn.Sequential):
    """Layers that compute in float32 where the rest of a network runs in bfloat16.

    A generator's last layers do: bfloat16 has 8 bits, so that it would round colours to steps of up to half a unit of ab.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d m n"]:
        with full_precision(x):
            out: Tensor = super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))
        return out


def initialise(network: nn.Module) -> None:
    """pix2pix's initialisation: convolutions ~ N(0, 0.02), norm scales ~ N(1, 0.02), biases 0."""
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or isinstance(module, FiLM):
            continue
        centre = 1.0 if isinstance(module, nn.BatchNorm2d | nn.GroupNorm) else 0.0
        nn.init.normal_(weight, centre, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def spectral_norm(network: nn.Module) -> None:
    """Divides all convolution, linear and embedding weights but FiLM's by their largest singular value (Miyato et al. 2018)."""
    for module in list(network.modules()):
        if isinstance(
            module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding
        ) and not isinstance(module, FiLM):
            parametrizations.spectral_norm(module)


class FiLM(nn.Embedding):
    """x (1 + γ_y) + β_y for each channel, with γ and β of the class y (Perez et al. 2018, eq. 2); it starts as the identity.

    The last row of the table stands for "no label" and is selected by label -1.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes + 1, 2 * channels)
        nn.init.zeros_(self.weight)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b c h w"], label: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        scale, shift = (
            super().forward(label % self.num_embeddings)[:, :, None, None].chunk(2, dim=1)
        )
        return x * (1 + scale) + shift


class SelfAttention(nn.Module):
    """x + γ·attention(x) over all positions; γ starts at 0 (Zhang et al. 2019, SAGAN, eq. 1 to 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        layers = (self.query, self.key, self.value)
        # (B, 1, hw, ·): one head
        query, key, value = (layer(x).flatten(2).transpose(1, 2)[:, None] for layer in layers)
        # (B, h·w, c)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return x + self.gamma * attended.transpose(1, 2).reshape(x.shape)


def nearest(x: Tensor, axis: int, size: int | torch.SymInt) -> Tensor:
    """x resampled along an axis: position i takes what is at ⌊i · old / size⌋.

    In whole numbers: torch's own rounds in float32, and ONNX otherwise than torch.
    """
    # as tensors, for export
    old, new = (torch.arange(side, device=x.device)[-1:] + 1 for side in (x.shape[axis], size))
    return x.index_select(
        axis, torch.div(torch.arange(size, device=x.device) * old, new, rounding_mode="floor")
    )


def no_labels(x: Tensor) -> Int[Tensor, " b"]:
    """Label -1 for every image of a batch."""
    # len(x) would fix the number of images of an exported network
    return torch.full((x.shape[0],), -1, device=x.device)

"""pix2pix's networks and training step as anybody would write them in PyTorch: the reference for the product.

Float32, row-major, separate Adam steps over a loop, losses from torch.nn; nothing here is made fast. The parameters are in
the product's order, so that weights can be copied one by one.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


def _down(incoming: int, outgoing: int, *, is_first: bool, is_last: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    if not is_first:
        layers.append(nn.LeakyReLU(0.2))
    layers.append(nn.Conv2d(incoming, outgoing, 4, 2, 1, bias=False))
    if not is_first and not is_last:
        layers.append(nn.BatchNorm2d(outgoing))
    return nn.Sequential(*layers)


def _up(incoming: int, outgoing: int, is_last: bool, dropout: float) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(incoming, outgoing, 4, 2, 1, bias=is_last)
    layers: list[nn.Module] = [nn.ReLU(), convolution]
    if not is_last:
        layers.append(nn.BatchNorm2d(outgoing))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class PlainGenerator(nn.Module):
    """The U-Net of Isola et al. 2017, §6.1.1: (B, 1, H, W) -> (B, 2, H, W)."""

    def __init__(self, size: int, base_width: int, dropout: float) -> None:
        super().__init__()
        depth = size.bit_length() - 1
        widths = [1] + [base_width * min(2**i, 8) for i in range(depth)]
        self.downs = nn.ModuleList(
            _down(widths[i], widths[i + 1], is_first=i == 0, is_last=i == depth - 1)
            for i in range(depth)
        )
        self.ups = nn.ModuleList()
        for i in reversed(range(depth)):
            incoming = widths[i + 1] * (1 if i == depth - 1 else 2)
            outgoing = widths[i] if i else 2
            is_dropped = depth - 1 - i < 3 and outgoing == 8 * base_width
            self.ups.append(_up(incoming, outgoing, i == 0, dropout if is_dropped else 0.0))

    def forward(self, L: Tensor) -> Tensor:
        features = [L]
        for down in self.downs:
            features.append(down(features[-1]))
        x = self.ups[0](features.pop())
        for up in self.ups[1:]:
            x = up(torch.cat([features.pop(), x], dim=1))
        return torch.tanh(x)


class PlainCritic(nn.Module):
    """The 70x70 patch critic of Isola et al. 2017, §6.1.2; `norm` is batch, or layer for a gradient penalty."""

    def __init__(self, base_width: int, norm: str = "batch") -> None:
        super().__init__()
        widths = [3, base_width, base_width * 2, base_width * 4, base_width * 8]
        layers: list[nn.Module] = []
        for i in range(4):
            layers.append(nn.Conv2d(widths[i], widths[i + 1], 4, 2 if i < 3 else 1, 1, bias=i == 0))
            if i:
                layers.append(
                    nn.BatchNorm2d(widths[i + 1])
                    if norm == "batch"
                    else nn.GroupNorm(1, widths[i + 1])
                )
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[4], 1, 4, 1, 1))

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([L, ab], dim=1))
        return logits


@torch.no_grad()
def take_weights(network: nn.Module, parameters: Iterable[Tensor]) -> None:
    """Copies parameters into a network, in their order.

    Raises:
        ValueError: there are more or fewer of them, or their shapes differ.
    """
    for own, given in zip(network.parameters(), parameters, strict=True):
        if own.shape != given.shape:
            raise ValueError(
                f"a weight of shape {tuple(given.shape)} does not fit {tuple(own.shape)}"
            )
        own.copy_(given)

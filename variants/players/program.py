"""A generator as a plain module, without the suite around it: what is exported, and what the registry of models holds."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from common.colour.hints import CHANNELS
from common.networks.generator import GeneratorNetwork


class Program(nn.Module):
    """L (B, 1, H, W) in [-1, 1] -> ab (B, 2, H, W) in about [-1, 1], for any H and W, in evaluation mode.

    Sides that are no multiples of the network's stride are continued by reflection and cut off again.
    """

    def __init__(self, network: GeneratorNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(
        self,
        L: Float[Tensor, "b 1 h w"],
        hints: Float[Tensor, "b 3 h w"] | None = None,
        label: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b 2 h w"]:
        """Hints and labels (-1: none) are for networks that were trained with them."""
        given = L.new_zeros(L.shape[0], CHANNELS, *L.shape[2:]) if hints is None else hints
        seen = torch.cat([L, given], dim=1) if self.network.inputs > 1 else L
        seen = _continued(_continued(seen, 2, self.network.stride), 3, self.network.stride)
        ab: Tensor = self.network(seen, label).ab
        return ab[:, :, : L.shape[2], : L.shape[3]]


def _continued(x: Tensor, axis: int, stride: int) -> Tensor:
    """x, reflected at its far edge as often as needed, up to the next multiple of `stride` along an axis."""
    side = x.shape[axis]
    if isinstance(side, int) and side % stride == 0:
        return x
    # side - 1, as a tensor: ONNX divides by no symbolic number
    last = torch.arange(side, device=x.device)[-1:]
    position = torch.arange((side + stride - 1) // stride * stride, device=x.device)
    return x.index_select(axis, last - (position % (2 * last).clamp(min=1) - last).abs())

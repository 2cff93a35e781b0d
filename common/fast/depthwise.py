"""Depthwise convolutions (one filter for each channel) that are fast on a CPU, forward and backward.

oneDNN takes four fifths of a training step of EfficientNet for them, most of it in their backward pass. Here a loop over positions
multiplies all channels at once, which lie side by side in memory. It computes in float32, also where the rest is in bfloat16.
"""

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from common.fast import switch
from common.fast.compiled import for_each, kernel

Image = Float32[np.ndarray, "h w c"]
Filters = Float32[np.ndarray, "k l c"]


class Depthwise(nn.Conv2d):
    """torch's Conv2d with as many groups as channels. `pads_evenly` is TensorFlow's padding, which depends on the input's side."""

    pads_evenly = False

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c m n"]:
        if not switch.is_on() or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        x = F.pad(input, self._padding(input))
        out = cast(Tensor, _Depthwise.apply(x.float(), self.weight.float(), self.stride[0]))
        out = out if self.bias is None else out + self.bias[:, None, None]
        return out.to(input.dtype)

    def _padding(self, x: Tensor) -> list[int]:
        """Columns and rows to add at the left, right, top and bottom."""
        if not self.pads_evenly:
            rows, columns = cast(tuple[int, int], self.padding)
            return [columns, columns, rows, rows]
        added: list[int] = []
        for side, kernel_side, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            missing = max(0, (-(-side // stride) - 1) * stride + kernel_side - side)
            added += [missing // 2, missing - missing // 2]
        return added


def with_fast_depthwise(network: nn.Module, same_padding: type[nn.Conv2d]) -> nn.Module:
    """Makes a network's usual depthwise convolutions, in place, fast ones.

    Args:
        same_padding: timm's convolution with TensorFlow's padding.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_depthwise(module):
            kind = type(module)
            evenly = issubclass(kind, same_padding)
            module.__class__ = type(
                f"Depthwise{kind.__name__}", (Depthwise, kind), {"pads_evenly": evenly}
            )
    return network


def _is_depthwise(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.stride[0] == layer.stride[1]
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class _Depthwise(Function):
    """(b, c, h, w), padded, and filters (c, 1, k, l) -> (b, c, m, n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        images = _rows(x)  # (b, h, w, c)
        filters = weight[:, 0].permute(1, 2, 0).contiguous()  # (k, l, c)
        ctx.save_for_backward(images, filters)
        ctx.stride = stride
        b, h, w, c = images.shape
        m, n = ((side - k) // stride + 1 for side, k in zip((h, w), filters.shape[:2], strict=True))
        out = images.new_empty(b, m, n, c)
        taps = filters.numpy()
        for_each(
            lambda image, result: _convolve(image, taps, stride, result),
            images.numpy(),
            out.numpy(),
        )
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        images, filters = ctx.saved_tensors
        slopes = _rows(gradients[0].float())  # (b, m, n, c)
        toward_images = torch.zeros_like(images)
        # one for each image: they are added up afterwards
        toward_filters = images.new_zeros(len(images), *filters.shape)
        taps = filters.numpy()

        def spread(image: Image, slope: Image, toward_image: Image, toward_filter: Filters) -> None:
            _spread(image, slope, taps, ctx.stride, toward_image, toward_filter)

        for_each(
            spread, images.numpy(), slopes.numpy(), toward_images.numpy(), toward_filters.numpy()
        )
        weight = toward_filters.sum(0).permute(2, 0, 1)[:, None]  # (c, 1, k, l)
        return toward_images.permute(0, 3, 1, 2), weight, None


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


@kernel
def _convolve(image: Image, filters: Filters, stride: int, out: Image) -> None:
    """out[i, j] = Σ filters[y, x] image[stride i + y, stride j + x], for all channels."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row = out[i, j]
            for c in range(row.shape[0]):
                row[c] = 0
            for y in range(filters.shape[0]):
                for x in range(filters.shape[1]):
                    pixel = image[stride * i + y, stride * j + x]
                    tap = filters[y, x]
                    for c in range(row.shape[0]):
                        row[c] += tap[c] * pixel[c]


@kernel
def _spread(
    image: Image,
    slope: Image,
    filters: Filters,
    stride: int,
    toward_image: Image,
    toward_filters: Filters,
) -> None:
    """The adjoint: adds each position's slope, times the filters, to the pixels under it, and times the pixels to the filters."""
    for i in range(slope.shape[0]):
        for j in range(slope.shape[1]):
            g = slope[i, j]
            for y in range(filters.shape[0]):
                for x in range(filters.shape[1]):
                    pixel = image[stride * i + y, stride * j + x]
                    toward_pixel = toward_image[stride * i + y, stride * j + x]
                    tap = filters[y, x]
                    toward_tap = toward_filters[y, x]
                    for c in range(g.shape[0]):
                        toward_pixel[c] += tap[c] * g[c]
                        toward_tap[c] += pixel[c] * g[c]

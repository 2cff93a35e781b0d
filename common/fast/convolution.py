"""Convolutions that are fast on a CPU also for small maps or few channels: the same mathematics and parameters as torch's own.

oneDNN is slow on maps of up to 8x8 positions, and for few output channels. There the convolution is one matrix product, up to 3
times as fast (`colourbench bench parts`; at 16x16 and with more channels oneDNN wins): patches are gathered and multiplied, or
multiplied and added up. On a GPU torch's own are always used.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from common.fast import switch

# the most positions in all maps of a batch, on the convolution's smaller side, for the matrix product
ROWS = 256
SMALL = 64  # the most positions of one map, where the product is in bfloat16 …
# … and has at most so many rows: at batch size 64 oneDNN wins from 8x8 on
BFLOAT16_ROWS = 1024
FEW = 4  # the most output channels


class Conv2d(nn.Conv2d):
    """torch's Conv2d; unusual ones, with groups, dilation, rectangular kernels …, are left to torch at every size."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d m n"]:
        # read once: under spectral norm each read makes a power iteration
        weight = self.weight
        if not _is_ours(self, input):
            return cast(Tensor, self._conv_forward(input, weight, self.bias))
        k = self.kernel_size[0]
        stride = self.stride[0]
        padding = cast(tuple[int, int], self.padding)[0]
        m, n = ((side + 2 * padding - k) // stride + 1 for side in input.shape[2:])
        if stride == 1 and self.out_channels <= FEW:
            # the adjoint of a convolution has the mirrored kernel
            mirrored = weight.flip(2, 3).permute(1, 2, 3, 0).flatten(1)
            return _spread(input, weight, mirrored, self.bias, (k, 1, k - 1 - padding, m, n))
        if not _is_small(input, weight, m * n):
            return cast(Tensor, self._conv_forward(input, weight, self.bias))
        return _as_product(input, weight, self.bias, (k, stride, padding))


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's ConvTranspose2d; unusual ones are left to torch at every size."""

    def forward(
        self, input: Float[Tensor, "b c h w"], output_size: list[int] | None = None
    ) -> Float[Tensor, "b d m n"]:
        if output_size is not None or not _is_ours(self, input):
            return super().forward(input, output_size)
        # read once: under spectral norm each read makes a power iteration
        weight = self.weight
        h, w = input.shape[2:]
        stride = self.stride[0]
        padding = cast(tuple[int, int], self.padding)[0]
        if self.out_channels > FEW and not _is_small(input, weight, h * w):
            return F.conv_transpose2d(input, weight, self.bias, stride, padding)
        k = self.kernel_size[0]
        m, n = ((side - 1) * stride + k - 2 * padding for side in (h, w))
        return _spread(input, weight, _as_matrix(weight), self.bias, (k, stride, padding, m, n))


def _as_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[int, int, int]
) -> Tensor:
    """(b, c, h, w) -> (b, d, m, n): a matrix product with all patches; geometry is (k, stride, padding)."""
    patches = cast(Tensor, _Gather.apply(_in_rows(x, weight), *geometry))
    y = F.linear(patches.flatten(3), _as_matrix(weight), bias)  # (b, m, n, d)
    return y.permute(0, 3, 1, 2)


def _spread(
    x: Tensor,
    like: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    geometry: tuple[int, int, int, int, int],
) -> Tensor:
    """(b, c, h, w) -> (b, d, m, n): positions become patches, overlaps are added; geometry is (k, stride, padding, m, n)."""
    rows = _in_rows(x, like)
    k = geometry[0]
    patches = (rows @ matrix.to(rows.dtype)).unflatten(-1, (k * k, -1))
    y = cast(Tensor, _Scatter.apply(patches, *geometry))
    y = y if bias is None else y + bias.to(y)
    return y.permute(0, 3, 1, 2)


def joined(*maps: Float[Tensor, "b _c h w"]) -> Float[Tensor, "b d h w"]:
    """torch.cat over channels whose gradients are dense: batch norm's backward is slow on a strided slice.

    After a batch norm it is 4 times as fast at batch size 1, and 12 times at batch size 8 (`colourbench bench parts`).
    """
    return cast(Tensor, _Join.apply(*maps)) if switch.is_on() else torch.cat(maps, dim=1)


class _Join(Function):
    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.channels = [x.shape[1] for x in maps]
        return torch.cat(maps, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        pieces = gradients[0].split(ctx.channels, dim=1)
        return tuple(piece.contiguous(memory_format=torch.channels_last) for piece in pieces)


class _Gather(Function):
    """(b, h, w, c) -> the kxk patches (b, m, n, k·k, c); the adjoint of _Scatter, so that each is the other's backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int, stride: int, padding: int) -> Tensor:
        ctx.geometry = (k, stride, padding, x.shape[1], x.shape[2])
        x = F.pad(x, (0, 0, padding, padding, padding, padding))
        return x.unfold(1, k, stride).unfold(2, k, stride).permute(0, 1, 2, 4, 5, 3).flatten(3, 4)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _Scatter.apply(gradients[0], *ctx.geometry), None, None, None


def _added_blocks(patches: Tensor, k: int, stride: int) -> Tensor:
    """(b, m, n, k·k, c) -> blocks of stride x stride pixels (b, m + r, n + r, stride·stride·c), where overlaps are added.

    A patch reaches over r + 1 blocks in each direction; they are added one after another.
    """
    b, m, n, _, c = patches.shape
    reach = -(-k // stride)
    beyond = reach - 1
    missing = reach * stride - k
    parts = F.pad(patches.unflatten(3, (k, k)), (0, 0, 0, missing, 0, missing))
    parts = parts.reshape(b, m, n, reach, stride, reach, stride, c)
    # sums of bfloat16 would lose what the product kept
    exact = torch.promote_types(patches.dtype, torch.float32)
    blocks = patches.new_zeros(b, m + beyond, n + beyond, stride * stride * c, dtype=exact)
    for i in range(reach):
        for j in range(reach):
            # padding is faster than adding to a slice in place
            part = parts[:, :, :, i, :, j].flatten(3)
            blocks += F.pad(part, (0, 0, j, beyond - j, i, beyond - i))
    return blocks.to(patches.dtype)


class _Scatter(Function):
    """Adds the patches (b, m, n, k·k, c) at their positions: -> (b, h, w, c)."""

    @staticmethod
    def forward(
        ctx: Any, patches: Tensor, k: int, stride: int, padding: int, h: int, w: int
    ) -> Tensor:
        ctx.geometry = (k, stride, padding)
        blocks = _added_blocks(patches, k, stride)
        b, rows, columns, _ = blocks.shape
        pixels = blocks.unflatten(3, (stride, stride, patches.shape[-1])).transpose(2, 3)
        whole = pixels.reshape(b, rows * stride, columns * stride, patches.shape[-1])
        return _window(whole, padding, h, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _Gather.apply(gradients[0], *ctx.geometry), None, None, None, None, None


def _window(image: Tensor, padding: int, h: int, w: int) -> Tensor:
    """Crops the padding off an image (b, ·, ·, c): -> (b, h, w, c); rows that no patch reached are 0."""
    missing = [
        max(0, side + padding - size) for side, size in ((w, image.shape[2]), (h, image.shape[1]))
    ]
    image = F.pad(image, (0, 0, 0, missing[0], 0, missing[1])) if any(missing) else image
    return image[:, padding : padding + h, padding : padding + w]


def _is_ours(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """Whether the matrix product may be used: on a CPU, with usual settings; exported programs keep torch's, for any batch size."""
    k = layer.kernel_size[0]
    padding = layer.padding[0]
    usual = (
        layer.kernel_size == (k, k)
        and layer.stride == (layer.stride[0],) * 2
        and layer.padding == (padding, padding)
        and layer.dilation == (1, 1)
        and layer.output_padding == (0, 0)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and cast(int, padding) < k
    )
    return (
        switch.is_on()
        and usual
        and x.dim() == 4
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
    )


def _is_small(x: Tensor, weight: Tensor, positions: int) -> bool:
    if positions < 1:
        return False
    rows = x.shape[0] * positions
    in_bfloat16 = _product_dtype(weight) == torch.bfloat16
    return rows <= ROWS or (in_bfloat16 and positions <= SMALL and rows <= BFLOAT16_ROWS)


def _product_dtype(weight: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype


def _in_rows(x: Tensor, weight: Tensor) -> Tensor:
    """(b, c, h, w) as (b, h, w, c), in the product's precision: casting after gathering would cast each value sixteen times."""
    return x.to(_product_dtype(weight)).permute(0, 2, 3, 1)


def _as_matrix(weight: Tensor) -> Tensor:
    """(a, b, k, k) as (a, k·k·b): a view, since weights are channels_last."""
    return weight.permute(0, 2, 3, 1).flatten(1)

"""Colours for a photograph of any size and shape, within a limit on memory.

The network sees the photograph with its shorter side at the training size, or at another size on request. What it would see at once
and memory does not allow is cut into tiles that overlap, and their colours are blended.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from common.colour import gamut, hints, lab
from common.colour.hints import Hint
from variants.players.colouriser import Colouriser

GB = 1e9
JOINING = 120  # bytes that a pixel takes while its L and ab are joined
MOST_SEEN = 2**24  # pixels that the network sees of one photograph
STRIP = 2**20  # pixels whose L and ab are computed at a time, where only L is kept


@dataclass(frozen=True)
class Sight:
    """How the network sees photographs, and what it is told about them.

    Args:
        side: pixels of the shorter side; None is the training size.
        label: the class, -1 for none.
        hints: points of known colour.
        sample: draw one of several versions, with dropout as the noise.
        memory_gb: for activations and for joining, beside the photograph itself.
    """

    side: int | None = None
    label: int = -1
    hints: Sequence[Hint] = field(default=())
    sample: bool = False
    memory_gb: float = 2.0


def colour(
    colouriser: Colouriser, rgb: UInt8[np.ndarray, "h w 3"], sight: Sight, saturation: float = 1.0
) -> np.ndarray:
    """A photograph, grey or not, in the predicted colours (h, w, 3), uint8; its own L is kept at full resolution."""
    ab = predict(colouriser, shrunk_lightness(rgb, small_size(colouriser, rgb, sight)), sight)
    return join(rgb, ab * saturation, sight.memory_gb)


def small_size(
    colouriser: Colouriser, rgb: UInt8[np.ndarray, "h w 3"], sight: Sight
) -> tuple[int, int]:
    """Height and width at which the network sees a photograph."""
    height, width, _ = rgb.shape
    side = sight.side or colouriser.size
    scale = side / min(height, width)
    longest = max(side, MOST_SEEN // side)  # a line of a million pixels is squeezed
    return tuple(min(max(side, round(pixels * scale)), longest) for pixels in (height, width))


def shrunk_lightness(
    rgb: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> Float[Tensor, "1 1 h2 w2"]:
    """L in the networks' scale, resampled to a size."""
    rows = max(1, STRIP // rgb.shape[1])
    strips = [rgb[top : top + rows] for top in range(0, len(rgb), rows)]
    # (1, 1, h, w)
    L = torch.cat([lab.to_network(_planes(strip))[0] for strip in strips], dim=2)
    return F.interpolate(L, size, mode="bilinear", antialias=True, align_corners=False)


def predict(
    colouriser: Colouriser, L: Float[Tensor, "b 1 h w"], sight: Sight
) -> Float[Tensor, "b 2 h w"]:
    """Predicts ab at the size of L, in one piece or in tiles."""
    if len(L) > 1 and colouriser.test_time in ("batch", "dropout"):
        # each photograph has its own statistics
        return torch.cat([predict(colouriser, one, sight) for one in L.split(1)])
    height, width = L.shape[2:]
    points = None
    if sight.hints:
        points = hints.placed(sight.hints, height, width).expand(len(L), -1, -1, -1)

    def piece(rows: slice, columns: slice) -> Tensor:
        given = None if points is None else points[:, :, rows, columns]
        return _piece(colouriser, L[:, :, rows, columns], given, sight)

    side = largest_tile(colouriser, len(L), sight.memory_gb)
    return in_tiles(piece, height, width, side, colouriser.size // 2, len(L))


def _piece(
    colouriser: Colouriser,
    L: Float[Tensor, "b 1 h w"],
    points: Float[Tensor, "b 3 h w"] | None,
    sight: Sight,
) -> Float[Tensor, "b 2 h w"]:
    """Predicts ab of a piece that fits into memory, padded to what the network takes."""
    device = colouriser.engine.device
    label = torch.full((len(L),), sight.label, device=device)
    padded = pad_to_multiple(L.to(device), colouriser.stride)
    if points is not None:
        points = pad_to_multiple(points.to(device), colouriser.stride)
    run = colouriser.sample if sight.sample else colouriser
    ab: Tensor = run(padded, label, points)
    return ab[..., : L.shape[2], : L.shape[3]].cpu()


def in_tiles(
    predict: Callable[[slice, slice], Float[Tensor, "b 2 h w"]],
    height: int,
    width: int,
    side: int,
    overlap: int,
    images: int = 1,
) -> Float[Tensor, "b 2 h w"]:
    """Predicts tiles of at most side x side pixels and blends them linearly where they overlap; one tile stays as it is."""
    if height * width <= side * side:
        return predict(slice(0, height), slice(0, width))
    rows = _spans(height, side, overlap)
    columns = _spans(width, side, overlap)
    total = torch.zeros(images, 2, height, width)
    weight = torch.zeros(height, width)
    for row in rows:
        for column in columns:
            # (h, w)
            share = _ramp(row, height, overlap)[:, None] * _ramp(column, width, overlap)
            total[..., row, column] += predict(row, column) * share
            weight[row, column] += share
    return total / weight


def join(
    rgb: UInt8[np.ndarray, "h w 3"], ab: Float[Tensor, "1 2 h2 w2"], memory_gb: float
) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph's own L with enlarged ab; computed in strips, each exactly as the whole would be.

    Where sRGB does not have the colour, chroma gives way and L stays.
    """
    height, width = rgb.shape[:2]
    rows = max(1, int(memory_gb * GB / (JOINING * width)))
    joined = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        strip = slice(top, min(height, top + rows))
        L, _ = lab.to_network(_planes(rgb[strip]))
        enlarged = gamut.reduced_chroma(L, _enlarged(ab, strip, height, width))
        joined[strip] = lab.to_photographs(L, enlarged)[0].permute(1, 2, 0).numpy()
    return joined


def largest_tile(colouriser: Colouriser, images: int, memory_gb: float) -> int:
    """The side of the largest square that the network may see at once; never less than its training size."""
    pixels = memory_gb * GB / (images * _bytes_a_pixel(colouriser))
    return max(colouriser.size, int(math.sqrt(pixels)) // colouriser.stride * colouriser.stride)


def pad_to_multiple(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c h2 w2"]:
    """Reflects the lower and right edges outwards until both sides are multiples of `stride`."""
    while any(side % stride for side in x.shape[2:]):
        # a reflection reaches no further than the image
        down, right = (min(-side % stride, side - 1) for side in x.shape[2:])
        x = F.pad(x, (0, right, 0, down), mode="reflect")
    return x


def _planes(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "1 3 h w"]:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]


def _enlarged(
    ab: Float[Tensor, "1 2 h w"], strip: slice, height: int, width: int
) -> Float[Tensor, "1 2 rows width"]:
    """The rows `strip` of ab enlarged to (height, width), as F.interpolate gives them for the whole."""
    source = (torch.arange(strip.start, strip.stop) + 0.5) * (ab.shape[2] / height) - 0.5
    source = source.clamp(0, ab.shape[2] - 1)
    above = source.floor().long()
    below = (above + 1).clamp(max=ab.shape[2] - 1)
    share = (source - above).to(ab.dtype).view(1, 1, -1, 1)
    rows = ab[:, :, above] * (1 - share) + ab[:, :, below] * share  # (1, 2, rows, w)
    return F.interpolate(rows, (rows.shape[2], width), mode="bilinear", align_corners=False)


def _spans(length: int, side: int, overlap: int) -> list[slice]:
    """Equal pieces of at most `side` that cover a length and overlap by at least `overlap`."""
    if length <= side:
        return [slice(0, length)]
    count = math.ceil((length - overlap) / max(1, side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int)
    return [slice(int(start), int(start) + side) for start in starts]


def _ramp(span: slice, length: int, overlap: int) -> Float[Tensor, " n"]:
    """Weights that fall linearly towards an inner edge, over the overlap."""
    size = span.stop - span.start
    distance = torch.arange(1.0, size + 1) / (overlap + 1)
    left = distance if span.start > 0 else torch.ones(size)
    right = distance.flip(0) if span.stop < length else torch.ones(size)
    return torch.minimum(left, right).clamp(max=1.0)


@lru_cache(maxsize=8)
def _bytes_a_pixel(colouriser: Colouriser) -> float:
    """Bytes of activations for each pixel of the input: the sum over all layers, which is more than are alive at once."""
    total = 0
    side = max(colouriser.size, colouriser.stride)

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        total += output.numel() * output.element_size() if isinstance(output, Tensor) else 0

    leaves = [module for module in colouriser.network.modules() if not list(module.children())]
    handles = [module.register_forward_hook(count) for module in leaves]
    try:
        colouriser(torch.zeros(1, 1, side, side, device=colouriser.engine.device))
    finally:
        for handle in handles:
            handle.remove()
    return max(16.0, total / side**2)


def tile_edges(height: int, width: int, side: int, overlap: int) -> Iterator[tuple[int, int]]:
    """(axis, position) of every inner edge of a tile, where a seam would be."""
    for axis, length in ((0, height), (1, width)):
        for span in _spans(length, side, overlap):
            yield from ((axis, edge) for edge in (span.start, span.stop) if 0 < edge < length)

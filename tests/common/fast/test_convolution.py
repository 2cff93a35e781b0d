"""Convolutions as matrix products, against torch's own in float64: all passes, and twice differentiated."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.fast.convolution import Conv2d, ConvTranspose2d, joined

GEOMETRIES = [(4, 2, 1), (4, 1, 1), (3, 1, 1), (3, 2, 1), (1, 1, 0), (5, 2, 2)]
OUTS = [(5, True), (5, False), (1, True), (2, False)]  # many channels and few
SIDES = [(1, 1), (2, 2), (4, 3), (5, 6), (8, 8)]


def passes(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    """The result, its gradients, and the gradients of a function of the input's gradient, as a penalty takes them."""
    x = x.clone().requires_grad_()
    y = convolution(x)
    draw = torch.Generator().manual_seed(1)
    (slope,) = torch.autograd.grad(
        (y**2 * torch.randn(y.shape, generator=draw, dtype=y.dtype)).sum(), x, create_graph=True
    )
    again = torch.autograd.grad((slope**2).sum(), [x, *convolution.parameters()], allow_unused=True)
    first = torch.autograd.grad(convolution(x).square().sum(), [x, *convolution.parameters()])
    return [
        y.detach(),
        slope.detach(),
        *first,
        *(gradient for gradient in again if gradient is not None),
    ]


def same(
    ours: nn.Module,
    torchs: nn.Module,
    side: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[nn.Module],
) -> None:
    ours, torchs = ours.double(), torchs.double()
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, *side, dtype=torch.float64)
    expected = passes(torchs, x)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "forward", refuse)
        actual = passes(ours, x)
    assert len(expected) == len(actual)
    for a, b in zip(actual, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def refuse(*_: object) -> Tensor:
    raise AssertionError("torch's own convolution was called")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("k", "stride", "padding"), GEOMETRIES)
@pytest.mark.parametrize(("out", "bias"), OUTS)
def test_convolution(
    k: int,
    stride: int,
    padding: int,
    side: tuple[int, int],
    out: int,
    bias: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if min(side) + 2 * padding < k:
        pytest.skip("the kernel does not fit")
    ours, theirs = (kind(3, out, k, stride, padding, bias=bias) for kind in (Conv2d, nn.Conv2d))
    same(ours, theirs, side, monkeypatch, nn.Conv2d)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("k", "stride", "padding"), GEOMETRIES)
@pytest.mark.parametrize(("out", "bias"), OUTS)
def test_transposed(
    k: int,
    stride: int,
    padding: int,
    side: tuple[int, int],
    out: int,
    bias: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if any((s - 1) * stride + k - 2 * padding < 1 for s in side):
        pytest.skip("nothing would come out")
    ours, theirs = (
        kind(3, out, k, stride, padding, bias=bias)
        for kind in (ConvTranspose2d, nn.ConvTranspose2d)
    )
    same(ours, theirs, side, monkeypatch, nn.ConvTranspose2d)


@pytest.mark.parametrize("transposed", [False, True])
def test_few_channels_on_large_maps(transposed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = (ConvTranspose2d, nn.ConvTranspose2d) if transposed else (Conv2d, nn.Conv2d)
    stride = 2 if transposed else 1
    same(ours(3, 1, 4, stride, 1), theirs(3, 1, 4, stride, 1), (20, 17), monkeypatch, theirs)


def test_large_maps_are_torchs_own() -> None:
    one, other = Conv2d(3, 5, 4, 2, 1), nn.Conv2d(3, 5, 4, 2, 1)
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(one(x), other(x))


def test_results_are_channels_last_and_as_precise_as_autocast_says() -> None:
    one = Conv2d(3, 5, 4, 2, 1).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 8, 8)
    assert one(x).is_contiguous(memory_format=torch.channels_last) and one(x).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert one(x).dtype == torch.bfloat16
        assert torch.allclose(one(x).float(), one.float()(x).float(), atol=0.05)


def test_joined_is_cat_with_dense_gradients() -> None:
    maps = [
        torch.randn(2, c, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
        for c in (3, 5)
    ]
    assert torch.equal(joined(*maps), torch.cat(maps, dim=1))
    weight = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)
    gradients = torch.autograd.grad((joined(*maps) * weight).sum(), maps)
    for gradient, piece in zip(gradients, weight.split([3, 5], dim=1), strict=True):
        assert torch.equal(gradient, piece) and gradient.is_contiguous(
            memory_format=torch.channels_last
        )


UNUSUAL = [
    {"dilation": 2},
    {"padding_mode": "reflect"},
    {"stride": (2, 1)},
    {"padding": (1, 0)},
    {"groups": 2},
    {"kernel_size": (3, 5)},
]


@pytest.mark.parametrize(
    "fields",
    [
        *UNUSUAL,
        {"padding": 3, "kernel_size": 3},
        {"padding": "same", "stride": 1, "kernel_size": 3},
    ],
)
@pytest.mark.parametrize("out", [2, 6])
def test_unusual_convolutions_are_torchs_own(fields: dict[str, Any], out: int) -> None:
    left_to_torch(
        Conv2d,
        nn.Conv2d,
        {"kernel_size": 4, "stride": 2, "padding": 1, "out_channels": out} | fields,
        8,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"dilation": 2},
        {"output_padding": 1},
        {"stride": (2, 1)},
        {"groups": 2},
        {"kernel_size": (3, 5)},
    ],
)
@pytest.mark.parametrize("out", [2, 6])
def test_unusual_transposed_ones_are_torchs_own(fields: dict[str, Any], out: int) -> None:
    usual = {"kernel_size": 4, "stride": 2, "padding": 1, "out_channels": out}
    left_to_torch(ConvTranspose2d, nn.ConvTranspose2d, usual | fields, 4)
    left_to_torch(ConvTranspose2d, nn.ConvTranspose2d, usual, 4, [8, 8])


def left_to_torch(
    ours: type[nn.Module],
    torchs: type[nn.Module],
    settings: dict[str, Any],
    side: int,
    *more: list[int],
) -> None:
    one, other = ours(in_channels=4, **settings), torchs(in_channels=4, **settings)
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 4, side, side)
    assert torch.equal(one(x, *more), other(x, *more))


def test_an_exported_program_takes_any_number_of_images() -> None:
    network = nn.Sequential(Conv2d(3, 6, 4, 2, 1), ConvTranspose2d(6, 2, 4, 2, 1)).eval()
    many = {"x": {0: torch.export.Dim("images", min=1, max=64)}}
    program = torch.export.export(
        Named(network), (torch.randn(2, 3, 8, 8),), dynamic_shapes=many
    ).module()
    for count in (1, 2, 5):
        x = torch.randn(count, 3, 8, 8)
        assert torch.allclose(program(x), network(x), atol=1e-5)


class Named(nn.Module):
    """With an argument that has a name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.network(x)
        return output


@pytest.mark.parametrize("out", [2, 8])
def test_overlaps_are_added_in_float32(out: int) -> None:
    """In bfloat16 the error must not exceed what rounding the products and the result explains (torch's own: RMS .0017)."""
    torch.manual_seed(0)
    layer = ConvTranspose2d(64, out, 4, 2, 1)
    x = torch.randn(4, 64, 8, 8)
    assert layer.bias is not None
    weight = layer.weight.bfloat16().double()
    exact = nn.functional.conv_transpose2d(x.bfloat16().double(), weight, layer.bias.double(), 2, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    rms = (result.double() - exact).square().mean().sqrt()
    rounded = (exact.bfloat16().double() - exact).square().mean().sqrt()
    assert rms < 2.5 * rounded

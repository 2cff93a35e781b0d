"""Depthwise convolutions against torch's own in float64, and inside networks."""

import copy
from typing import Any

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from common.fast import switch
from common.fast.depthwise import Depthwise, with_fast_depthwise

CASES = [(3, 1, 8), (3, 2, 9), (5, 2, 16), (5, 1, 2), (3, 2, 16), (7, 1, 7)]


def fast(layer: nn.Conv2d) -> nn.Module:
    return with_fast_depthwise(nn.Sequential(copy.deepcopy(layer)), Conv2dSame)[0]  # type: ignore[index, no-any-return]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize(("k", "stride", "side"), CASES)
def test_results_and_gradients(kind: Any, k: int, stride: int, side: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = kind(6, 6, k, stride, 0 if kind is Conv2dSame else k // 2, groups=6, bias=bias)
    ours, theirs = fast(layer), copy.deepcopy(layer).double()
    assert isinstance(ours, Depthwise)
    x = torch.randn(3, 6, side, side + 3).to(memory_format=torch.channels_last)
    inputs = x.clone().requires_grad_(), x.double().requires_grad_()
    outputs = ours(inputs[0]), theirs(inputs[1])
    assert torch.allclose(outputs[0].double(), outputs[1], atol=1e-5)
    slope = torch.randn_like(outputs[1])
    actual = torch.autograd.grad(outputs[0], [inputs[0], *ours.parameters()], slope.float())
    expected = torch.autograd.grad(outputs[1], [inputs[1], *theirs.parameters()], slope)
    for a, b in zip(actual, expected, strict=True):
        assert torch.allclose(a.double(), b, atol=1e-4)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "legacy_xception"])
def test_a_network_gives_the_same_features(name: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True, pretrained=False).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(x)
        quick = with_fast_depthwise(network, Conv2dSame)
        assert any(isinstance(module, Depthwise) for module in quick.modules())
        actual = quick(x)
        switch.turn(False)
        plain = quick(x)
        switch.turn(True)
    for a, b, c in zip(actual, expected, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4) and torch.equal(b, c)


def test_it_computes_in_float32_and_answers_as_it_was_asked() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
    x = torch.randn(2, 8, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = fast(layer)(x)
    exact = layer.double()(x.double())
    assert result.dtype == torch.bfloat16
    assert (
        torch.equal(result, exact.float().bfloat16())
        or (result.double() - exact).abs().max() < 2**-7 * exact.abs().max()
    )


@pytest.mark.parametrize(
    "fields", [{"groups": 2}, {"dilation": 2, "groups": 4}, {"stride": (2, 1), "groups": 4}]
)
def test_others_stay_torchs_own(fields: dict[str, Any]) -> None:
    assert not isinstance(fast(nn.Conv2d(4, 4, 3, **fields)), Depthwise)

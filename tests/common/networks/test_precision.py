"""Colours are computed in float32 where the rest is in bfloat16, and each weight is read once in a forward pass."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm

from common.colour.ab_bins import AbBins
from common.fast import switch
from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig
from common.networks.colours import BinsHead, TanhHead
from common.networks.layers import FullPrecision
from common.networks.patch_critic import PatchCritic, PatchCriticConfig
from common.networks.unet import UNet, UNetConfig

LAB = 110  # units of ab in 1 of the networks' scale
CRITIC = PatchCriticConfig(base_width=8, layers=2, spectral_norm=True)


def unet(head: TanhHead | BinsHead) -> UNet:
    return UNet(UNetConfig(base_width=16, dropout=0), 64, head=head)


def backbone(head: TanhHead | BinsHead) -> BackboneUNet:
    return BackboneUNet(
        BackboneUNetConfig(encoder="resnet18", pretrained=False, decoder_width=32), head=head
    )


@pytest.mark.parametrize("build", [unet, backbone])
def test_the_last_layer_and_tanh_are_in_float32(build: Any) -> None:
    """Against float64 from the same input of the last layer: bfloat16 would be off by up to .36 units of ab."""
    torch.manual_seed(0)
    network = build(TanhHead())
    given: list[Tensor] = []
    (last,) = [module for module in network.modules() if isinstance(module, FullPrecision)]
    last.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0].detach().double()))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ab = network(torch.rand(2, 1, 64, 64) * 2 - 1).ab
    convolution: Any = last[-1]
    weight, bias = convolution.weight.double(), convolution.bias.double()
    if isinstance(convolution, nn.ConvTranspose2d):
        expected = F.conv_transpose2d(given[0].relu(), weight, bias, 2, 1).tanh()
    else:
        expected = F.conv2d(given[0], weight, bias, 1, 1).tanh()
    assert ab.dtype == torch.float32
    assert LAB * (ab.double() - expected).abs().max() < 1e-3


def test_the_mean_over_bins_is_in_float32() -> None:
    torch.manual_seed(0)
    head = BinsHead(AbBins(10.0), 0.38)
    logits = torch.randn(1, head.channels, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        ab = head(logits).ab
    p = torch.softmax(logits.double() / 0.38, dim=1)
    centres = AbBins(10.0).centres.double() / LAB
    assert LAB * (ab.double() - torch.einsum("bqhw,qc->bchw", p, centres)).abs().max() < 1e-3


@pytest.mark.parametrize("fast", [True, False])
def test_spectral_norm_iterates_once_a_forward_pass(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[_SpectralNorm] = []
    original = _SpectralNorm._power_method

    def counting(module: _SpectralNorm, weight: Tensor, iterations: int) -> None:
        counted.append(module)
        original(module, weight, iterations)

    monkeypatch.setattr(_SpectralNorm, "_power_method", counting)
    switch.turn(fast)
    try:
        critic = PatchCritic(CRITIC)
        counted.clear()  # construction iterates too
        critic(torch.randn(2, 1, 32, 32), torch.randn(2, 2, 32, 32))
    finally:
        switch.turn(True)
    convolutions = [module for module in critic.modules() if isinstance(module, nn.Conv2d)]
    assert len(counted) == len(set(map(id, counted))) == len(convolutions)


@pytest.mark.parametrize("training", [True, False])
def test_spectral_norm_is_the_same_fast_and_plain(training: bool) -> None:
    torch.manual_seed(0)
    one, other = PatchCritic(CRITIC), PatchCritic(CRITIC)
    other.load_state_dict(one.state_dict())
    L, ab = torch.randn(4, 1, 32, 32), torch.randn(4, 2, 32, 32)
    for _ in range(4):
        fast = one.train(training)(L, ab)
        switch.turn(False)
        plain = other.train(training)(L, ab)
        switch.turn(True)
        assert torch.allclose(fast, plain, rtol=1e-4, atol=1e-5)

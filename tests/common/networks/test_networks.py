"""The networks against pix2pix's published figures and a plain second implementation."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import ColourbenchError
from common.networks.patch_critic import PatchCritic, PatchCriticConfig
from common.networks.unet import SIZES, UNet, UNetConfig


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_of_pix2pix() -> None:
    assert parameters(UNet(UNetConfig(), 256)) == 54_409_858
    assert parameters(PatchCritic(PatchCriticConfig())) == 2_765_633


def test_logit_map_and_receptive_field() -> None:
    critic = PatchCritic(PatchCriticConfig(norm="none"))
    L, ab = torch.zeros(1, 1, 256, 256, requires_grad=True), torch.zeros(1, 2, 256, 256)
    logits = critic(L, ab)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    assert L.grad is not None
    seen = (L.grad[0, 0] != 0).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [70, 70]


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (5, 286)])
def test_other_patches(layers: int, field: int) -> None:
    critic = PatchCritic(PatchCriticConfig(base_width=4, layers=layers, norm="none"))
    L = torch.zeros(1, 1, 512, 512, requires_grad=True)
    logits = critic(L, torch.zeros(1, 2, 512, 512))
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert L.grad is not None
    seen = (L.grad[0, 0] != 0).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [field, field]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_a_bottleneck_of_one_pixel(size: int) -> None:
    network = UNet(UNetConfig(base_width=4), size)
    places: list[torch.Size] = []
    network.downs[-1].register_forward_hook(lambda *args: places.append(args[2].shape))
    assert network(torch.zeros(1, 1, size, size)).ab.shape == (1, 2, size, size)
    assert places[0][2:] == (1, 1)


def test_rectangles_of_whole_strides() -> None:
    assert UNet(UNetConfig(base_width=4), 32)(torch.zeros(1, 1, 32, 96)).ab.shape == (1, 2, 32, 96)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ColourbenchError, match="32, 64, 128, 256, 512 pixels, not 100"):
        UNet(UNetConfig(), 100)


def reference(weights: list[Tensor], L: Tensor, depth: int) -> Tensor:
    """pix2pix's U-Net as nested recursion, in the manner of its own code; weights in the order of its state dict."""
    queue = list(weights)
    down_weights = [
        [queue.pop(0)] + ([queue.pop(0) for _ in range(4)] if 0 < i < depth - 1 else [])
        for i in range(depth)
    ]
    up_weights = [
        [queue.pop(0)] + [queue.pop(0) for _ in range(1 if i == 0 else 4)]
        for i in reversed(range(depth))
    ][::-1]

    def normalised(x: Tensor, parts: list[Tensor]) -> Tensor:
        scale, shift, mean, variance = parts
        return F.batch_norm(x, mean, variance, scale, shift, training=False)

    def block(x: Tensor, i: int) -> Tensor:
        y = F.conv2d(x if i == 0 else F.leaky_relu(x, 0.2), down_weights[i][0], stride=2, padding=1)
        if 0 < i < depth - 1:
            y = normalised(y, down_weights[i][1:])
        if i < depth - 1:
            y = block(y, i + 1)
        first, *rest = up_weights[i]
        if i == 0:
            return torch.tanh(F.conv_transpose2d(F.relu(y), first, rest[0], stride=2, padding=1))
        return torch.cat(
            [x, normalised(F.conv_transpose2d(F.relu(y), first, stride=2, padding=1), rest)], dim=1
        )

    return block(L, 0)


def test_unet_equals_the_nested_reference() -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(base_width=8), 64).eval()
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    weights = [value for name, value in network.state_dict().items() if "num_batches" not in name]
    L = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(L).ab, reference(weights, L, depth=6), atol=1e-6)


def test_dropout_stands_in_the_three_innermost_widest_blocks() -> None:
    network = UNet(UNetConfig(base_width=4), 256)
    dropped = [
        any(isinstance(layer, nn.Dropout) for layer in up.children())
        for up in network.ups.children()
    ]
    assert dropped == [True, True, True, False, False, False, False, False]


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(), 64).requires_grad_(False)
    kernels = torch.cat(
        [
            m.weight.flatten()
            for m in network.modules()
            if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
        ]
    )
    scales = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert kernels.mean().abs() < 1e-4 and kernels.std() == pytest.approx(0.02, rel=0.01)
    assert scales.mean() == pytest.approx(1.0, abs=0.01) and scales.std() == pytest.approx(
        0.02, rel=0.15
    )

"""Every norm in both memory layouts, with one image and with several, against float64."""

import pytest
import torch
from torch import Tensor, nn

from common.networks.layers import NormName, norm
from common.networks.patch_critic import Critic, PatchCriticConfig
from common.networks.unet import UNet, UNetConfig
from variants.losses.objectives import gradient_penalty

NORMS: tuple[NormName, ...] = ("batch", "instance", "layer", "none")
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def gradients(network: nn.Module, loss: Tensor) -> Tensor:
    by_parameter = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return torch.cat(
        [gradient.double().flatten() for gradient in by_parameter if gradient is not None]
    )


def error(computed: Tensor, true: Tensor) -> float:
    return float((computed - true).norm() / true.norm())


@pytest.mark.parametrize("layout", LAYOUTS, ids=["rows", "channels last"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_gives_the_gradients_of_float64(
    name: NormName, images: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x, target = torch.randn(images, 8, 6, 6), torch.randn(images, 8, 6, 6)
    by_precision = []
    for dtype in (torch.float32, torch.float64):
        inputs = x.to(dtype).to(memory_format=layout).requires_grad_()
        (gradient,) = torch.autograd.grad(
            (norm(name, 8).to(dtype)(inputs) * target.to(dtype)).sum(), inputs
        )
        by_precision.append(gradient.double())
    assert error(*by_precision) < 1e-5


@pytest.mark.parametrize("layout", LAYOUTS, ids=["rows", "channels last"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", NORMS)
def test_a_generator_gives_the_gradients_of_float64(
    name: NormName, images: int, layout: torch.memory_format
) -> None:
    """One image a forward is what accumulation gives; nn.InstanceNorm2d was wrong there, without a word."""
    torch.manual_seed(0)
    L, ab = torch.rand(images, 1, 32, 32) * 2 - 1, torch.rand(images, 2, 32, 32) - 0.5
    network = UNet(UNetConfig(base_width=8, norm=name, dropout=0.0), 32)
    by_precision = []
    for dtype in (torch.float32, torch.float64):
        network = network.to(dtype).to(memory_format=layout)
        loss = (network(L.to(dtype).to(memory_format=layout)).ab - ab.to(dtype)).square().mean()
        by_precision.append(gradients(network, loss))
    # float32 loses up to 0.01 where a norm divides by little; a wrong gradient is 0.4 and more off
    assert error(*by_precision) < 0.05


@pytest.mark.parametrize("layout", LAYOUTS, ids=["rows", "channels last"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", ["instance", "layer", "none"])
def test_the_penalty_gives_the_gradients_of_float64(
    name: NormName, images: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    L, real, fake = (
        torch.rand(images, 1, 32, 32),
        torch.rand(images, 2, 32, 32),
        torch.rand(images, 2, 32, 32),
    )
    epsilon = torch.rand(images, 1, 1, 1)
    critic = Critic(PatchCriticConfig(base_width=8, layers=2, norm=name))
    by_precision = []
    for dtype in (torch.float32, torch.float64):
        critic = critic.to(dtype).to(memory_format=layout)
        L1, ab, made = (x.to(dtype).to(memory_format=layout) for x in (L, real, fake))
        penalty, _ = gradient_penalty(
            critic, L1, ab, made, torch.full((images,), -1), epsilon.to(dtype)
        )
        by_precision.append(gradients(critic, penalty))
    assert error(*by_precision) < 0.01  # wrong ones were 0.25 to 0.39 off

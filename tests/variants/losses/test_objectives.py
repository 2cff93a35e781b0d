"""Objectives against float64 formulas written out, and gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from common.networks.patch_critic import Critic, PatchCriticConfig
from variants.losses import objectives

REAL = torch.tensor([[0.5, -2.0], [3.0, 0.1]], dtype=torch.float64).view(2, 1, 1, 2)
FAKE = torch.tensor([[-0.7, 1.5], [0.0, -30.0]], dtype=torch.float64).view(2, 1, 1, 2)


def sigmoid(x: torch.Tensor) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x.numpy())))


def test_formulas() -> None:
    D_real, D_fake = sigmoid(REAL), sigmoid(FAKE)
    expected = {
        "vanilla_critic": (
            objectives.vanilla_critic([REAL], [FAKE]),
            -0.5 * (np.log(D_real).mean() + np.log1p(-D_fake).mean()),
        ),
        "vanilla_generator": (objectives.vanilla_generator([FAKE]), -np.log(D_fake).mean()),
        "minimax_generator": (objectives.minimax_generator([FAKE]), np.log1p(-D_fake).mean()),
        "least_squares_generator": (
            objectives.least_squares_generator([FAKE]),
            ((FAKE.numpy() - 1) ** 2).mean(),
        ),
        "wasserstein_critic": (
            objectives.wasserstein_critic([REAL], [FAKE]),
            FAKE.mean().item() - REAL.mean().item(),
        ),
        "wasserstein_generator": (objectives.wasserstein_generator([FAKE]), -FAKE.mean().item()),
    }
    for name, (loss, value) in expected.items():
        assert loss.item() == pytest.approx(value, rel=1e-12), name


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([1e4, -1e4]).view(2, 1, 1, 1)
    for function in (objectives.vanilla_generator, objectives.minimax_generator):
        assert torch.isfinite(function([logits]))
    assert torch.isfinite(objectives.vanilla_critic([logits], [logits]))


@pytest.mark.parametrize(
    "name",
    ["vanilla_generator", "minimax_generator", "least_squares_generator", "wasserstein_generator"],
)
def test_gradients_of_generator_objectives(name: str) -> None:
    assert torch.autograd.gradcheck(
        lambda x: getattr(objectives, name)([x]), FAKE.clone().requires_grad_()
    )


@pytest.mark.parametrize(
    "name", ["vanilla", "least_squares", "hinge", "wasserstein", "relativistic"]
)
def test_gradients_of_whole_objectives(name: str) -> None:
    objective = objectives.OBJECTIVES[name]
    inputs = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda real, fake: objective.critic([real], [fake], 1.0), inputs
    )
    assert torch.autograd.gradcheck(lambda real, fake: objective.generator([real], [fake]), inputs)


def test_formulas_of_the_choices() -> None:
    real, fake = REAL.numpy(), FAKE.numpy()
    losses = {
        name: objective.critic([REAL], [FAKE], 1.0).item()
        for name, objective in objectives.OBJECTIVES.items()
    }
    assert losses["least_squares"] == pytest.approx(
        0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()
    )
    assert losses["hinge"] == pytest.approx(
        np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    )
    beats, beaten = sigmoid(REAL - FAKE.mean()), sigmoid(FAKE - REAL.mean())
    assert losses["relativistic"] == pytest.approx(
        -0.5 * (np.log(beats).mean() + np.log1p(-beaten).mean())
    )
    generator = objectives.OBJECTIVES["relativistic"].generator([REAL], [FAKE]).item()
    assert generator == pytest.approx(-(np.log(beaten).mean() + np.log1p(-beats).mean()))
    assert objectives.OBJECTIVES["hinge"].generator([REAL], [FAKE]).item() == pytest.approx(
        -fake.mean()
    )


def test_label_smoothing_is_the_cross_entropy_with_a_softer_target() -> None:
    expected = (
        torch.nn.functional.binary_cross_entropy_with_logits(REAL, torch.full_like(REAL, 0.9)) / 2
    )
    assert objectives.vanilla_critic_real([REAL], 0.9).item() == pytest.approx(
        expected.item(), rel=1e-12
    )
    assert objectives.least_squares_critic([REAL], [FAKE], 0.9).item() == pytest.approx(
        0.5 * ((REAL - 0.9) ** 2).mean().item() + 0.5 * (FAKE**2).mean().item()
    )


def test_scales_weigh_alike_whatever_their_size() -> None:
    coarse = torch.tensor([[1.0]], dtype=torch.float64).view(1, 1, 1, 1).expand(2, 1, 1, 1)
    both = objectives.vanilla_generator([FAKE, coarse])
    apart = [objectives.vanilla_generator([maps]).item() for maps in (FAKE, coarse)]
    assert both.item() == pytest.approx(sum(apart) / 2)
    assert objectives.scores([FAKE, coarse]).tolist() == pytest.approx(
        [(0.4 + 1) / 2, (-15 + 1) / 2]
    )


def test_accuracies() -> None:
    real, fake = (
        torch.tensor([1.0, -1.0, 2.0]).view(3, 1, 1, 1),
        torch.tensor([-2.0, -3.0, 3.0]).view(3, 1, 1, 1),
    )
    assert objectives.accuracy([real], [fake]).item() == pytest.approx(4 / 6)
    assert objectives.ranking_accuracy([real], [fake]).item() == pytest.approx(2 / 3)


class Linear(nn.Module):
    """D(L, ab) = w · ab for each place: its gradient in ab is w everywhere."""

    def forward(
        self, L: torch.Tensor, ab: torch.Tensor, label: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        return [(ab * torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).sum(dim=1, keepdim=True)]


def test_penalty_of_a_linear_critic_is_known() -> None:
    real, fake = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    penalty, norms = objectives.gradient_penalty(Linear(), torch.zeros(3, 1, 4, 4), real, fake)
    # the score is the mean over 16 places, so each place has gradient (3, 4) / 16, and the norm is √16 · 5 / 16
    norm = math.sqrt(16) * 5 / 16
    assert norms.tolist() == pytest.approx([norm] * 3)
    assert penalty.item() == pytest.approx((norm - 1) ** 2)


def test_the_penalty_has_two_sides() -> None:
    """Norms below 1 cost as much as norms above it (Gulrajani et al. 2017, §4); one-sided penalties leave them free."""

    class Flat(Linear):
        def forward(
            self, L: torch.Tensor, ab: torch.Tensor, label: torch.Tensor | None = None
        ) -> list[torch.Tensor]:
            return [super().forward(L, ab, label)[0] * 0.08]

    penalty, norms = objectives.gradient_penalty(
        Flat(), torch.zeros(3, 1, 4, 4), torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    )
    assert norms.tolist() == pytest.approx([0.1] * 3) and penalty.item() == pytest.approx(0.81)


def test_penalty_and_its_weight_gradient_against_finite_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    critic = Critic(PatchCriticConfig(base_width=4, norm="layer")).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(20)
    L, real, fake = (torch.rand(2, channels, 32, 32, dtype=torch.float64) for channels in (1, 2, 2))
    epsilon = torch.tensor([0.3, 0.8], dtype=torch.float64).view(2, 1, 1, 1)
    x_hat = epsilon * real + (1 - epsilon) * fake

    def naive() -> float:
        """One image at a time, with the gradient of its own score; no second derivative is taken."""
        total = 0.0
        for image in range(2):
            x = x_hat[image : image + 1].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(critic(L[image : image + 1], x)[0].mean(), x)
            total += (gradient.norm().item() - 1) ** 2 / 2
        return total

    monkeypatch.setattr(torch, "rand", lambda *_, **__: epsilon)
    penalty, _ = objectives.gradient_penalty(critic, L, real, fake)
    assert penalty.item() == pytest.approx(naive(), rel=1e-9)

    weight = next(critic.parameters())
    assert isinstance(weight, nn.Parameter)
    (analytic,) = torch.autograd.grad(penalty, weight)
    step = 1e-5
    for index in [(0, 0, 0, 0), (1, 1, 2, 3), (3, 2, 1, 1)]:
        values = []
        for shift in (step, -2 * step):
            weight.data[index] += shift
            values.append(naive())
        weight.data[index] += step
        above, below = values
        assert analytic[index].item() == pytest.approx(
            (above - below) / (2 * step), rel=1e-4, abs=1e-9
        )


def test_epsilon_is_one_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    rand = torch.rand

    def spy(*shape: int, **options: object) -> torch.Tensor:
        shapes.append(shape)
        return rand(*shape)

    monkeypatch.setattr(torch, "rand", spy)
    objectives.gradient_penalty(
        Linear(), torch.zeros(3, 1, 4, 4), torch.ones(3, 2, 4, 4), torch.zeros(3, 2, 4, 4)
    )
    assert shapes == [(3, 1, 1, 1)]

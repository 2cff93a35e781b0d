"""What the players minimise: adversarial objectives on logits, the gradient penalty, reconstruction losses."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

ReconstructionName = Literal["l1", "l2"]
Logits = Float[Tensor, "b 1 m n"]
Scalar = Float[Tensor, ""]


def vanilla_critic(real: Logits, fake: Logits) -> Scalar:
    """-½ E[log σ(real)] - ½ E[log(1 - σ(fake))] (Goodfellow et al. 2014, eq. 1; halved as in Isola et al. 2017, §3.3)."""
    return vanilla_critic_real(real) + vanilla_critic_fake(fake)


def vanilla_critic_real(real: Logits) -> Scalar:
    """-½ E[log σ(real)]."""
    return 0.5 * F.softplus(-real).mean()


def vanilla_critic_fake(fake: Logits) -> Scalar:
    """-½ E[log(1 - σ(fake))]."""
    return 0.5 * F.softplus(fake).mean()


def vanilla_generator(fake: Logits) -> Scalar:
    """-E[log σ(fake)], the non-saturating loss (Goodfellow et al. 2014, §3)."""
    return F.softplus(-fake).mean()


def minimax_generator(fake: Logits) -> Scalar:
    """E[log(1 - σ(fake))], the saturating loss (Wang et al. 2019, eq. 2)."""
    return -F.softplus(fake).mean()


def least_squares_generator(fake: Logits) -> Scalar:
    """E[(logit - 1)²] on the raw logit, as in the authors' PyTorch code of Wang et al. 2019 (eq. 4 has D = σ(logit))."""
    return ((fake - 1.0) ** 2).mean()


def wasserstein_critic(real: Logits, fake: Logits) -> Scalar:
    """E[D(fake)] - E[D(real)] with D the mean of a photograph's patch logits (Gulrajani et al. 2017, eq. 3)."""
    return scores(fake).mean() - scores(real).mean()


def wasserstein_generator(fake: Logits) -> Scalar:
    """-E[D(fake)]."""
    return -scores(fake).mean()


def scores(logits: Logits) -> Float[Tensor, " b"]:
    """One score for each photograph: the mean of its map, so that the map's size does not weigh the penalty."""
    return logits.mean(dim=(1, 2, 3))


def gradient_penalty(
    critic: nn.Module, L: Float[Tensor, "b 1 h w"], real: Float[Tensor, "b 2 h w"], fake: Float[Tensor, "b 2 h w"]
) -> tuple[Scalar, Float[Tensor, " b"]]:
    """E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²] with x̂ = ε real + (1 - ε) fake, ε ~ U[0, 1] one for each photograph, two-sided.

    Run it in float32: it is differentiated twice. `critic` is the raw module, never a compiled one: compiled, the second
    derivative is silently wrong.

    Returns:
        The penalty and the gradient norm of each photograph.

    Source: Gulrajani et al. 2017, eq. 3 and Algorithm 1; penalty on ab alone as in Vitoria et al. 2020 (ChromaGAN).
    """
    epsilon = torch.rand(len(real), 1, 1, 1, device=real.device)
    x_hat = (epsilon * real + (1.0 - epsilon) * fake.detach()).requires_grad_()
    score = scores(critic(L, x_hat)).sum()  # photographs do not mix in the critic, so the sum's gradient is each one's own
    (gradient,) = torch.autograd.grad(score, x_hat, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)
    return ((norms - 1.0) ** 2).mean(), norms.detach()


def reconstruction(name: ReconstructionName, fake: Float[Tensor, "b 2 h w"], real: Float[Tensor, "b 2 h w"]) -> Scalar:
    """E‖ab - G(L)‖₁ or E‖ab - G(L)‖₂², the mean over values (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(fake, real) if name == "l1" else F.mse_loss(fake, real)

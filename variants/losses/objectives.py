"""Adversarial objectives on logits, and the gradient penalty.

A critic returns a list of logit maps (B, 1, M, N), one for each scale. An objective is the mean of its formula over the scales.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

ObjectiveName = Literal["vanilla", "least_squares", "hinge", "wasserstein", "relativistic"]
Logits = Float[Tensor, "b 1 _m _n"]
Maps = list[Logits]
Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class Objective:
    """An adversarial objective: the losses of critic and generator, each a function of the maps (real, fake)."""

    # the float is the critic's target for real photographs
    critic: Callable[[Maps, Maps, float], Scalar]
    generator: Callable[[Maps, Maps], Scalar]
    compares: bool = False  # whether the generator's loss depends on the real photographs
    # whether the critic's target for real photographs can be below 1
    smoothable: bool = False
    # decision boundary between real and fake; None if only differences of scores have a meaning
    boundary: float | None = 0.0


def over_scales(formula: Callable[..., Scalar], *maps: Maps) -> Scalar:
    """Applies a formula to the maps of each scale and averages over the scales."""
    return torch.stack([formula(*scale) for scale in zip(*maps, strict=True)]).mean()


def vanilla_critic(real: Maps, fake: Maps, real_label: float = 1.0) -> Scalar:
    """-½ E[log σ(real)] - ½ E[log(1 - σ(fake))] (Goodfellow et al. 2014, eq. 1; halved as in Isola et al. 2017, §3.3)."""
    return vanilla_critic_real(real, real_label) + vanilla_critic_fake(fake)


def vanilla_critic_real(real: Maps, real_label: float = 1.0) -> Scalar:
    """-½ E[t log σ(real) + (1 - t) log(1 - σ(real))], t = `real_label` (one-sided smoothing: Salimans et al. 2016, §3.4)."""
    return over_scales(lambda x: 0.5 * (F.softplus(-x).mean() + (1 - real_label) * x.mean()), real)


def vanilla_critic_fake(fake: Maps) -> Scalar:
    """-½ E[log(1 - σ(fake))]."""
    return over_scales(lambda x: 0.5 * F.softplus(x).mean(), fake)


def vanilla_generator(fake: Maps) -> Scalar:
    """-E[log σ(fake)], the non-saturating loss (Goodfellow et al. 2014, §3)."""
    return over_scales(lambda x: F.softplus(-x).mean(), fake)


def minimax_generator(fake: Maps) -> Scalar:
    """E[log(1 - σ(fake))], the saturating loss (Wang et al. 2019, eq. 2)."""
    return over_scales(lambda x: -F.softplus(x).mean(), fake)


def least_squares_critic(real: Maps, fake: Maps, real_label: float = 1.0) -> Scalar:
    """½ E[(real - t)²] + ½ E[fake²] (Mao et al. 2017, eq. 9)."""
    return over_scales(
        lambda r, f: 0.5 * ((r - real_label) ** 2).mean() + 0.5 * (f**2).mean(), real, fake
    )


def least_squares_generator(fake: Maps) -> Scalar:
    """E[(logit - 1)²] on the raw logit, as in pix2pix's and E-GAN's PyTorch code (Wang et al. 2019, eq. 4, has D = σ(logit))."""
    return over_scales(lambda x: ((x - 1.0) ** 2).mean(), fake)


def hinge_critic(real: Maps, fake: Maps) -> Scalar:
    """E[max(0, 1 - real)] + E[max(0, 1 + fake)] (Lim & Ye 2017, eq. 6)."""
    return over_scales(lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), real, fake)


def relativistic_critic(real: Maps, fake: Maps) -> Scalar:
    """-½ E[log σ(real - E[fake])] - ½ E[log(1 - σ(fake - E[real]))] (Jolicoeur-Martineau 2019, RaSGAN, halved as above)."""
    return over_scales(
        lambda r, f: 0.5 * (F.softplus(-(r - f.mean())).mean() + F.softplus(f - r.mean()).mean()),
        real,
        fake,
    )


def wasserstein_critic(real: Maps, fake: Maps) -> Scalar:
    """E[D(fake)] - E[D(real)] with D the mean of a photograph's patch logits (Gulrajani et al. 2017, eq. 3)."""
    return scores(fake).mean() - scores(real).mean()


def wasserstein_generator(fake: Maps) -> Scalar:
    """-E[D(fake)]; the hinge objective has the same generator loss."""
    return -scores(fake).mean()


def scores(maps: Maps) -> Float[Tensor, " b"]:
    """One score (B,) for each photograph: the mean of its maps, so that a map's size does not change the weight of the penalty."""
    # (scales, B) -> (B,)
    return torch.stack([logits.mean(dim=(1, 2, 3)) for logits in maps]).mean(dim=0)


def _alone(loss: Callable[[Maps], Scalar]) -> Callable[[Maps, Maps], Scalar]:
    """Gives a generator loss that depends on fake photographs only the signature (real, fake)."""
    return lambda real, fake: loss(fake)


def _unsmoothed(loss: Callable[[Maps, Maps], Scalar]) -> Callable[[Maps, Maps, float], Scalar]:
    """Gives a critic loss without a target for real photographs the signature (real, fake, real_label)."""
    return lambda real, fake, real_label: loss(real, fake)


OBJECTIVES: dict[str, Objective] = {
    "vanilla": Objective(vanilla_critic, _alone(vanilla_generator), smoothable=True),
    "least_squares": Objective(
        least_squares_critic, _alone(least_squares_generator), smoothable=True, boundary=0.5
    ),
    "hinge": Objective(_unsmoothed(hinge_critic), _alone(wasserstein_generator)),
    "wasserstein": Objective(
        _unsmoothed(wasserstein_critic), _alone(wasserstein_generator), boundary=None
    ),
    "relativistic": Objective(
        _unsmoothed(relativistic_critic),
        lambda real, fake: (
            2 * relativistic_critic(fake, real)
        ),  # real and fake swap roles; not halved, as for the others
        compares=True,
        boundary=None,
    ),
}


def gradient_penalty(
    critic: nn.Module,
    L: Float[Tensor, "b 1 h w"],
    real: Float[Tensor, "b 2 h w"],
    fake: Float[Tensor, "b 2 h w"],
    label: Int[Tensor, " b"] | None = None,
    epsilon: Float[Tensor, "b 1 1 1"] | None = None,
) -> tuple[Scalar, Float[Tensor, " b"]]:
    """E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²] with x̂ = ε real + (1 - ε) fake and one ε ~ U[0, 1] for each photograph; two-sided.

    Run it in float32, because it is differentiated twice. `critic` must be the original module, never a compiled one: a compiled
    module gives a wrong second derivative without an error.

    Returns:
        The penalty, and the gradient norm (B,) of each photograph.

    Source: Gulrajani et al. 2017, eq. 3 and Algorithm 1; gradient with respect to ab alone as in Vitoria et al. 2020 (ChromaGAN).
    """
    epsilon = torch.rand(len(real), 1, 1, 1, device=real.device) if epsilon is None else epsilon
    # x̂, line 6 of Algorithm 1, (B, 2, H, W)
    x_hat = (epsilon * real + (1.0 - epsilon) * fake.detach()).requires_grad_()
    # no layer mixes photographs: each gets its own gradient
    score = scores(critic(L, x_hat, label)).sum()
    (gradient,) = torch.autograd.grad(score, x_hat, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)  # ‖∇_x̂ D(L, x̂)‖₂: (B, 2, H, W) -> (B,)
    return ((norms - 1.0) ** 2).mean(), norms.detach()


def accuracy(real: Maps, fake: Maps, boundary: float = 0.0) -> Scalar:
    """Share of the photographs, real and fake, whose score is on the correct side of the decision boundary."""
    return torch.cat([scores(real) > boundary, scores(fake) < boundary]).float().mean()


def ranking_accuracy(real: Maps, fake: Maps) -> Scalar:
    """Share of the pairs whose real photograph has the higher score; for critics whose scores have no decision boundary."""
    return (scores(real) > scores(fake)).float().mean()

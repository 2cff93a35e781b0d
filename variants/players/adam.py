"""Adam (Kingma & Ba 2015, Algorithm 1): its settings, its learning rate schedule, and a plain implementation."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from common.config import Settings
from common.fast.adam import EPSILON, FusedAdam, flat


class AdamConfig(Settings):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Step size. pix2pix: 2e-4."""
    beta1: float = Field(default=0.5, ge=0, lt=1)
    """Decay rate of the first moment. pix2pix: 0.5."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay rate of the second moment."""
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    """Decoupled weight decay (Loshchilov & Hutter 2019); each step shrinks a weight by this share times the learning rate."""
    decay: Literal["constant", "linear", "exponential", "cosine"] = "constant"
    """How the learning rate falls over the budget: linearly (pix2pix) or as a cosine to 0, or exponentially to a hundredth."""
    decay_from: float = Field(default=0.5, ge=0, lt=1)
    """Share of the budget after which the learning rate begins to fall. pix2pix: 0.5."""

    def learning_rate_at(self, used: float) -> float:
        """The learning rate when the share `used` of the budget is used."""
        return self.learning_rate * self.factor(used)

    def factor(self, used: float) -> float:
        """The factor on the learning rate when the share `used` of the budget is used."""
        x = min(max((used - self.decay_from) / (1 - self.decay_from), 0.0), 1.0)
        falls: dict[str, float] = {
            "constant": 1.0,
            "linear": 1 - x,
            "exponential": 0.01**x,
            "cosine": (1 + math.cos(math.pi * x)) / 2,
        }
        return falls[self.decay]


class PlainAdam:
    """Algorithm 1, written as in the paper; weight decay is decoupled (Loshchilov & Hutter 2019, Algorithm 2).

    Args:
        weights: float32, changed in place.
        rates: the factor on the learning rate for each weight tensor.
    """

    def __init__(
        self, config: AdamConfig, weights: Sequence[Tensor], rates: Sequence[float]
    ) -> None:
        self.learning_rate = config.learning_rate
        self._config = config
        self._weights = [w.detach() for w in weights]
        self._rates = list(rates)
        self._m, self._v = ([torch.zeros_like(w) for w in self._weights] for _ in range(2))
        self._t = torch.zeros((), device=self._weights[0].device if self._weights else None)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """θ ← θ - α (m̂ / (√v̂ + ε) + decay · θ)."""
        self._t += 1
        for w, new in zip(
            self._weights, self._updated(gradients, self._m, self._v, self._t), strict=True
        ):
            w.copy_(new)

    @torch.no_grad()
    def stepped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The weights that `step` would give; nothing is changed."""
        m, v = ([x.clone() for x in moments] for moments in (self._m, self._v))
        return self._updated(gradients, m, v, self._t + 1)

    def _updated(
        self, gradients: Sequence[Tensor], m: list[Tensor], v: list[Tensor], t: Tensor
    ) -> list[Tensor]:
        """Returns new weights; updates the moments in place."""
        beta1 = self._config.beta1
        beta2 = self._config.beta2
        updated = []
        for i, (w, gradient) in enumerate(zip(self._weights, gradients, strict=True)):
            g = gradient.float()
            alpha = self.learning_rate * self._rates[i]
            m[i].mul_(beta1).add_((1 - beta1) * g)  # m ← β₁ m + (1 - β₁) g
            v[i].mul_(beta2).add_((1 - beta2) * g**2)  # v ← β₂ v + (1 - β₂) g²
            m_hat = m[i] / (1 - beta1**t)
            v_hat = v[i] / (1 - beta2**t)
            updated.append(
                w - alpha * (m_hat / (v_hat.sqrt() + EPSILON) + self._config.weight_decay * w)
            )
        return updated

    def refresh(self) -> None:
        """Does nothing: this implementation has no copies to refresh."""

    def state_dict(self) -> dict[str, Any]:
        """The state in the format of `FusedAdam`."""
        m, v = ([flat(moment) for moment in moments] for moments in (self._m, self._v))
        return {"m": m, "v": v, "t": self._t, "learning_rate": self.learning_rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; tensors are copied. A state without moments, saved before the first step, sets them to 0."""
        self.learning_rate = state["learning_rate"]
        self._t.copy_(state["t"])
        for own, saved in ((self._m, state["m"]), (self._v, state["v"])):
            for i, moment in enumerate(own):
                flat(moment).copy_(saved[i]) if saved else moment.zero_()


def new_adam(
    config: AdamConfig,
    weights: Sequence[Tensor],
    copies: Sequence[Tensor | None],
    rates: Sequence[float],
    fast: bool,
) -> FusedAdam | PlainAdam:
    """A new Adam; `copies` means the same as in `FusedAdam`, and `PlainAdam` ignores it."""
    if not fast:
        return PlainAdam(config, weights, rates)
    return FusedAdam(
        config.learning_rate,
        (config.beta1, config.beta2),
        config.weight_decay,
        weights,
        copies,
        rates,
    )

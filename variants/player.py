"""A player of the game: a network and its optimiser."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.adam import adam

from common.config import Settings
from common.engine import Engine


class AdamConfig(Settings):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Step size. pix2pix: 2e-4."""
    beta1: float = Field(default=0.5, ge=0, lt=1)
    """Decay of the first moment. pix2pix: 0.5."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""
    decay: Literal["constant", "linear", "exponential", "cosine"] = "constant"
    """How the learning rate falls over the budget: to 0 linearly (pix2pix) or as a cosine, to a hundredth exponentially."""
    decay_from: float = Field(default=0.5, ge=0, lt=1)
    """Share of the budget after which it begins to fall. pix2pix: half."""

    def factor(self, used: float) -> float:
        """The share of the learning rate that holds when a share of the budget is used."""
        x = min(max((used - self.decay_from) / (1 - self.decay_from), 0.0), 1.0)
        falls: dict[str, float] = {
            "constant": 1.0,
            "linear": 1 - x,
            "exponential": 0.01**x,
            "cosine": (1 + math.cos(math.pi * x)) / 2,
        }
        return falls[self.decay]


class Player:
    """A network with its Adam state; the only place where weights change."""

    def __init__(self, network: nn.Module, config: AdamConfig, engine: Engine) -> None:
        self.network = engine.share(network).to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        learning = {name: parameter for name, parameter in self.network.named_parameters() if parameter.requires_grad}
        self.names, self.parameters = list(learning), list(learning.values())
        self.updates = 0
        self._engine, self._config = engine, config
        betas = (config.beta1, config.beta2)
        self._optimiser = torch.optim.Adam(_groups(self.network, learning), lr=config.learning_rate, betas=betas, fused=True)
        self._group_of = {parameter: group for group in self._optimiser.param_groups for parameter in group["params"]}
        self.decay(0.0)

    def __call__(self, *inputs: Tensor) -> Any:
        """The network's forward, in the engine's precision; what comes out is float32."""
        return forward(self.network, self._engine, *inputs)

    def decay(self, used: float) -> None:
        """Sets the learning rates for a run that has used this share of its budget."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * group["rate"] * self._config.factor(used)

    def gradients(self, loss: Tensor, retain_graph: bool = False) -> list[Tensor]:
        """d loss / d parameters, the mean over all ranks; the other player's weights get none."""
        return self._engine.average(torch.autograd.grad(loss, self.parameters, retain_graph=retain_graph))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = _laid_out_like(gradient, parameter)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.updates += 1

    def update(self, losses: Tensor | Iterable[Tensor]) -> None:
        """One Adam step down a loss, or down the mean of several; a lazy iterable keeps one graph at a time in memory."""
        total: list[Tensor] = []
        count = 0
        for loss in [losses] if isinstance(losses, Tensor) else losses:
            gradients = self.gradients(loss)
            total = [a + b for a, b in zip(total, gradients, strict=True)] if total else gradients
            count += 1
        self.step([gradient / count for gradient in total] if count > 1 else total)

    @torch.no_grad()
    def stepped(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name as `step(gradients)` would make them, while the player stays as it is.

        torch's own Adam runs on copies of one tensor and its moments at a time, so the values are those of `step` to the
        last bit and only the returned weights stay in memory.
        """
        return {name: self._stepped(p, g) for name, p, g in zip(self.names, self.parameters, gradients, strict=True)}

    def copy_from(self, other: "Player") -> None:
        """Takes over another player's weights, buffers and Adam state."""
        self.load_state_dict(other.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Weights, buffers and optimiser state."""
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; tensors are copied."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(_cloned(state["optimiser"]))
        self._group_of = {parameter: group for group in self._optimiser.param_groups for parameter in group["params"]}
        self.updates = state["updates"]

    def _stepped(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        group, state = self._group_of[parameter], self._optimiser.state[parameter]
        child = parameter.detach().clone()
        m = state["exp_avg"].clone() if state else torch.zeros_like(child)
        v = state["exp_avg_sq"].clone() if state else torch.zeros_like(child)
        t = state["step"].clone() if state else torch.zeros((), dtype=torch.float32, device=child.device)
        beta1, beta2 = group["betas"]
        fixed = {"fused": True, "amsgrad": False, "weight_decay": 0.0, "maximize": False, "eps": group["eps"]}
        adam([child], [_laid_out_like(gradient, child)], [m], [v], [], [t], beta1=beta1, beta2=beta2, lr=group["lr"], **fixed)
        return child


def forward(network: nn.Module, engine: Engine, *inputs: Tensor) -> Any:
    """A network's forward in the engine's precision; tensors that come out, alone or in a tuple or list, are float32."""
    with engine.autocast(), engine.own_noise():
        output = network(*inputs)
    return in_float32(output)


def in_float32(output: Any) -> Any:
    """Tensors as float32, alone, in a list or in a named tuple."""
    if output is None:
        return None
    if isinstance(output, Tensor):
        return output.float()
    parts = [in_float32(part) for part in output]
    return parts if isinstance(output, list) else type(output)(*parts)


def _groups(network: nn.Module, learning: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
    """Parameters by the share of the learning rate that their network gives them."""
    rate_of = getattr(network, "rate_of", lambda name: 1.0)
    by_rate = sorted(learning.items(), key=lambda item: -rate_of(item[0]))  # stable: the order within a group is the network's
    grouped = groupby(by_rate, key=lambda item: rate_of(item[0]))
    return [{"params": [parameter for _, parameter in members], "rate": rate} for rate, members in grouped]


def _laid_out_like(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient in the parameter's memory layout: fused Adam walks both in memory order and never compares their strides."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return [_cloned(item) for item in value] if isinstance(value, list) else value

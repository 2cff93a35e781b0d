"""A player of the game: a network and its optimiser."""

from collections.abc import Sequence
from typing import Any

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


class Player:
    """A network with its Adam state; the only place where weights change."""

    def __init__(self, network: nn.Module, config: AdamConfig, engine: Engine) -> None:
        self.network = network.to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = list(self.network.parameters())
        self._engine = engine
        self._optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The network's forward, in the engine's precision."""
        with self._engine.autocast():
            output: Tensor = self.network(*inputs)
        return output.float()

    def gradients(self, loss: Tensor, retain_graph: bool = False) -> list[Tensor]:
        """d loss / d parameters, the mean over all ranks; the other player's weights get none."""
        return self._engine.average(torch.autograd.grad(loss, self.parameters, retain_graph=retain_graph))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = _laid_out_like(gradient, parameter)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def update(self, loss: Tensor) -> None:
        """One Adam step down `loss`."""
        self.step(self.gradients(loss))

    @torch.no_grad()
    def stepped(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name as `step(gradients)` would make them, while the player stays as it is.

        torch's own Adam runs on copies of one tensor and its moments at a time, so the values are those of `step` to the
        last bit and only the returned weights stay in memory.
        """
        names = (name for name, _ in self.network.named_parameters())
        return {name: self._stepped(p, g) for name, p, g in zip(names, self.parameters, gradients, strict=True)}

    def copy_from(self, other: "Player") -> None:
        """Takes over another player's weights, buffers and Adam state."""
        self.load_state_dict(other.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Weights, buffers and optimiser state."""
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; tensors are copied."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(_cloned(state["optimiser"]))

    def _stepped(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        group, state = self._optimiser.param_groups[0], self._optimiser.state[parameter]
        child = parameter.detach().clone()
        m = state["exp_avg"].clone() if state else torch.zeros_like(child)
        v = state["exp_avg_sq"].clone() if state else torch.zeros_like(child)
        t = state["step"].clone() if state else torch.zeros((), dtype=torch.float32, device=child.device)
        beta1, beta2 = group["betas"]
        fixed = {"fused": True, "amsgrad": False, "weight_decay": 0.0, "maximize": False, "eps": group["eps"]}
        adam([child], [_laid_out_like(gradient, child)], [m], [v], [], [t], beta1=beta1, beta2=beta2, lr=group["lr"], **fixed)
        return child


def _laid_out_like(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient in the parameter's memory layout: fused Adam walks both in memory order and never compares their strides."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return [_cloned(item) for item in value] if isinstance(value, list) else value

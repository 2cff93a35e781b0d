"""A player of the game: a network and its optimiser."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import is_parametrized

from common.errors import ColourbenchError
from common.fast.adam import FusedAdam
from common.fast.depthwise import Depthwise
from common.loop.engine import Engine
from common.loop.training import Losses
from common.networks.layers import FullPrecision
from variants.players.adam import AdamConfig, PlainAdam, new_adam

T = TypeVar("T")
Loss = tuple[Tensor, Losses]  # the loss that a player minimises, and the values to log


class Player:
    """A network with its Adam state; weights change nowhere else.

    Adam updates the float32 master weights. If the engine computes in bfloat16, forward passes use working weights, copies of them.
    """

    def __init__(self, network: nn.Module, config: AdamConfig, engine: Engine) -> None:
        self.network = engine.share(network).to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        learning = {
            name: parameter
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        }
        self.names = list(learning)
        self.parameters = list(learning.values())
        self.updates = 0
        self._engine = engine
        self._config = config
        self._working = working_weights(self.network, engine) if engine.fast else {}
        self.adam = self._new_adam(config)

    def __call__(self, *inputs: Tensor) -> Any:
        """The network's forward pass, in the engine's precision; the output is float32."""
        return forward(self.network, self._engine, *inputs, weights=self._working)

    def decay(self, used: float) -> None:
        """Sets the learning rate for a run that has used this share of its budget."""
        self.adam.learning_rate = self._config.learning_rate_at(used)

    def restart_adam(self, config: AdamConfig, encoder_rate: float | None = None) -> None:
        """Starts a new Adam with other settings and, if given, another learning rate factor for the encoder; weights stay."""
        self._config = config
        self.adam = self._new_adam(config, encoder_rate)

    def gradients(self, loss: Tensor, retain_graph: bool = False) -> list[Tensor]:
        """d loss / d parameters, averaged over all ranks; the other player's weights get no gradient.

        A loss may depend on the working weights, on the float32 ones (a gradient penalty), or on both. A gradient is float32
        unless it belongs to a working weight alone.
        """
        used = [
            self._working.get(name, parameter)
            for name, parameter in zip(self.names, self.parameters, strict=True)
        ]
        masters = {
            name: p
            for name, p in zip(self.names, self.parameters, strict=True)
            if name in self._working
        }
        leaves = [*used, *masters.values()]
        gradients = torch.autograd.grad(
            loss, leaves, retain_graph=retain_graph, allow_unused=bool(masters)
        )
        through_masters = dict(zip(masters, gradients[len(used) :], strict=True))
        pairs = [
            (gradient, through_masters.get(name))
            for name, gradient in zip(self.names, gradients, strict=False)
        ]
        return self._engine.average([_sum(*pair) for pair in pairs])

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step."""
        self.adam.step(gradients)
        self.updates += 1

    def update(self, loss: Callable[[T], Loss], parts: Sequence[T]) -> Losses:
        """One Adam step on the mean loss over the parts of a batch, with one graph at a time in memory.

        Returns:
            The mean of each logged value over the parts.
        """
        total: list[Tensor] = []
        figures: list[Losses] = []
        for part in parts:
            value, losses = loss(part)
            gradients = self.gradients(value)
            total = (
                [a.float() + b for a, b in zip(total, gradients, strict=True)]
                if total
                else gradients
            )
            figures.append({name: figure.detach() for name, figure in losses.items()})
            del value, losses  # releases the graph before the next part builds one
        self.step([gradient / len(parts) for gradient in total] if len(parts) > 1 else total)
        return means(figures)

    def stepped(self, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
        """The weights, by name, that forward passes would use after `step(gradients)`; the player is not changed."""
        return dict(zip(self.names, self.adam.stepped(gradients), strict=True))

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Replaces weights and buffers; the optimiser's state stays.

        Raises:
            RuntimeError: they are another network's.
        """
        self.network.load_state_dict(weights)
        self.adam.refresh()

    def copy_from(self, other: "Player") -> None:
        """Copies another player's weights, buffers and Adam state."""
        self.load_state_dict(other.state_dict())

    def _new_adam(
        self, config: AdamConfig, encoder_rate: float | None = None
    ) -> FusedAdam | PlainAdam:
        own_rate = getattr(self.network, "rate_of", lambda name: 1.0)
        copies = [self._working.get(name) for name in self.names]
        encoder = (
            {}
            if encoder_rate is None
            else {name: encoder_rate for name in self.names if name.startswith("encoder.")}
        )
        rates = [encoder.get(name, own_rate(name)) for name in self.names]
        return new_adam(config, self.parameters, copies, rates, self._engine.fast)

    def state_dict(self) -> dict[str, Any]:
        """Weights, buffers and optimiser state."""
        return {
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; tensors are copied.

        Raises:
            ColourbenchError: the state was saved by another version.
        """
        if "adam" not in state:
            raise ColourbenchError(
                "the checkpoint was written by another version of colourbench; move it away to train from the start"
            )
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.adam.refresh()
        self.updates = state["updates"]


def forward(
    network: nn.Module, engine: Engine, *inputs: Tensor, weights: Mapping[str, Tensor] | None = None
) -> Any:
    """A network's forward pass in the engine's precision; output tensors, alone or in a tuple or list, are float32.

    Args:
        weights: replace the network's own, by name.
    """
    with engine.autocast(), engine.own_noise():
        output = functional_call(network, dict(weights), inputs) if weights else network(*inputs)
    return in_float32(output)


def working_weights(network: nn.Module, engine: Engine) -> dict[str, Tensor]:
    """bfloat16 weights of convolutions and linear layers, which save forward passes from casting the float32 ones each time.

    Adam still updates the float32 weights; weights that are only evaluated take half the memory. Empty if the engine computes in
    float32.
    """
    if engine.precision != "bf16-mixed":
        return {}
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    in_full = {
        layer
        for module in network.modules()
        if isinstance(module, FullPrecision | Depthwise)
        for layer in module.modules()
    }
    weights: dict[str, Tensor] = {}
    for prefix, module in network.named_modules():
        if module in in_full or is_parametrized(module):
            continue
        if isinstance(module, kinds) and module.weight.requires_grad:
            weights[f"{prefix}.weight" if prefix else "weight"] = (
                module.weight.detach().to(torch.bfloat16).requires_grad_()
            )
    return weights


def _sum(*gradients: Tensor | None) -> Tensor:
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        raise RuntimeError("a loss does not depend on one of the weights that it should train")
    return present[0] if len(present) == 1 else present[0].float() + present[1].float()


def in_float32(output: Any) -> Any:
    """Casts tensors to float32: one alone, or those in a list or a named tuple."""
    if output is None:
        return None
    if isinstance(output, Tensor):
        return output.float()
    parts = [in_float32(part) for part in output]
    return parts if isinstance(output, list) else type(output)(*parts)


def means(figures: Sequence[Losses]) -> Losses:
    """The mean of each logged value."""
    names = dict.fromkeys(name for losses in figures for name in losses)
    return {
        name: torch.stack([losses[name] for losses in figures if name in losses]).mean()
        for name in names
    }

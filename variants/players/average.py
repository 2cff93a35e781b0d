"""A moving average of a generator's weights; the averaged generator is the one that colourises."""

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from variants.players.player import Player


class Average:
    """The moving average of a player's weights and running statistics; the decay starts small, so that short runs benefit too."""

    def __init__(self, player: Player, decay: float) -> None:
        self._player = player
        self._decay = decay
        self._model = AveragedModel(player.network, avg_fn=self._blend, use_buffers=True)
        self.updates = 0  # the player's update count at the last averaging

    @property
    def network(self) -> Any:
        """The network with averaged weights."""
        return self._model.module

    def follow(self) -> None:
        """Adds the player's weights to the average if the player has been updated since the last call."""
        if self._player.updates > self.updates:
            self._model.update_parameters(self._player.network)
            _copy_power_iterations(self.network, self._player.network)
            self.updates = self._player.updates

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, and the player's update count at the last averaging."""
        return {"average": self._model.state_dict(), "averaged_at": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self._model.load_state_dict(state["average"])
        self.updates = state["averaged_at"]

    def _blend(self, averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        keep = min(self._decay, (1 + int(updates)) / (10 + int(updates)))
        return averaged + (current - averaged) * (1 - keep)


def _copy_power_iterations(averaged: nn.Module, network: nn.Module) -> None:
    """Copies the vectors of spectral norm: they must have length 1, and an average of them does not."""
    current = dict(network.named_buffers())
    for name, buffer in averaged.named_buffers():
        if name.endswith(("._u", "._v")):
            buffer.copy_(current[name])

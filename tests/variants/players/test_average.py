"""The moving average of weights: its warm-up, its decay, and what it does not average."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from common.loop.engine import Engine
from variants.players.adam import AdamConfig
from variants.players.average import Average
from variants.players.player import Player


def followed(engine: Engine, decay: float, values: list[float]) -> list[float]:
    """The averaged weight after each of these values of the player's only weight."""
    player = Player(nn.Linear(1, 1, bias=False), AdamConfig(), engine)
    average = Average(player, decay)
    seen = []
    for value in values:
        with torch.no_grad():
            player.parameters[0].fill_(value)
        player.updates += 1
        average.follow()
        seen.append(float(average.network.weight.detach()))
    return seen


def test_the_decay_starts_small_and_grows_to_its_value(engine: Engine) -> None:
    """As TensorFlow's moving averages: the share kept at the n-th update is the smaller of the decay and (1 + n) / (10 + n)."""
    values = [5.0, 1.0, -2.0, 0.5, 3.0, 3.0]
    for decay in (0.2, 0.999):
        expected = [values[0]]
        for n, value in enumerate(values[1:], start=1):
            keep = min(decay, (1 + n) / (10 + n))
            expected.append(keep * expected[-1] + (1 - keep) * value)
        assert followed(engine, decay, values) == pytest.approx(expected, rel=1e-5)


def test_the_same_update_counts_once(engine: Engine) -> None:
    player = Player(nn.Linear(1, 1, bias=False), AdamConfig(), engine)
    average = Average(player, 0.5)
    player.updates = 1
    average.follow()
    with torch.no_grad():
        player.parameters[0].fill_(100.0)
    average.follow()  # the player was not updated
    assert float(average.network.weight.detach()) != 100.0 and average.updates == 1


def test_vectors_of_spectral_norm_are_the_networks_own(engine: Engine) -> None:
    player = Player(nn.Sequential(spectral_norm(nn.Linear(4, 4))), AdamConfig(), engine)
    average = Average(player, 0.9)
    for _ in range(3):
        player(torch.rand(2, 4))
        player.updates += 1
        average.follow()
    own, averaged = dict(player.network.named_buffers()), dict(average.network.named_buffers())
    names = [name for name in own if name.endswith(("._u", "._v"))]
    assert len(names) == 2 and all(torch.equal(own[name], averaged[name]) for name in names)


def test_it_goes_on_from_its_state(engine: Engine) -> None:
    player = Player(nn.Linear(2, 2), AdamConfig(), engine)
    one, other = Average(player, 0.9), Average(player, 0.9)
    for _ in range(4):
        with torch.no_grad():
            player.parameters[0].add_(1.0)
        player.updates += 1
        one.follow()
    other.load_state_dict(one.state_dict())
    assert other.updates == one.updates == 4
    assert torch.equal(one.network.weight, other.network.weight)

import torch
from torch import nn

from common.engine import Engine
from variants.adam import AdamConfig
from variants.player import Player


def player(engine: Engine, seed: int = 0) -> Player:
    torch.manual_seed(seed)
    return Player(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), AdamConfig(learning_rate=0.01), engine)


def gradients(like: Player, seed: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(parameter.shape, generator=draw) for parameter in like.parameters]


def test_stepped_is_step_to_the_last_bit_and_changes_nothing(engine: Engine) -> None:
    one = player(engine)
    for turn in range(3):  # with and without moments
        before = [parameter.clone() for parameter in one.parameters]
        g = gradients(one, turn)
        children = one.stepped(g)
        assert all(torch.equal(a, b) for a, b in zip(before, one.parameters, strict=True))
        one.step(g)
        assert all(torch.equal(children[name], parameter) for name, parameter in one.network.named_parameters())


def test_step_is_adam_of_the_paper(engine: Engine) -> None:
    one = player(engine)
    theta = [parameter.detach().double().clone() for parameter in one.parameters]
    m, v = [torch.zeros_like(p) for p in theta], [torch.zeros_like(p) for p in theta]
    for t in range(1, 5):
        g = gradients(one, t)
        one.step(g)
        for i, gradient in enumerate(g):
            m[i] = 0.5 * m[i] + 0.5 * gradient.double()
            v[i] = 0.999 * v[i] + 0.001 * gradient.double() ** 2
            theta[i] -= 0.01 * (m[i] / (1 - 0.5**t)) / ((v[i] / (1 - 0.999**t)).sqrt() + 1e-8)
    assert all(torch.allclose(a.double(), b, atol=1e-6) for a, b in zip(one.parameters, theta, strict=True))


def test_gradients_belong_to_one_player_alone(engine: Engine) -> None:
    one, other = player(engine, 0), player(engine, 1)
    loss = one(torch.rand(2, 1, 5, 5)).sum() * other(torch.rand(2, 1, 5, 5)).sum()
    one.update(loss)
    assert all(parameter.grad is None for parameter in other.parameters)


def test_copy_is_independent(engine: Engine) -> None:
    one, copy = player(engine, 0), player(engine, 1)
    one.step(gradients(one, 0))
    copy.copy_from(one)
    one.step(gradients(one, 1))
    copy.step(gradients(one, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters, copy.parameters, strict=True))
    copy.step(gradients(one, 2))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters, copy.parameters, strict=True))


def test_the_gradients_memory_layout_does_not_matter(engine: Engine) -> None:
    """Fused Adam on a channels-last weight with a row-major gradient would mix up the elements, silently."""
    players = [Player(nn.Conv2d(3, 4, 3, bias=False), AdamConfig(), engine) for _ in range(2)]
    players[1].copy_from(players[0])
    gradient = torch.randn(4, 3, 3, 3)
    for one, layout in zip(players, (torch.contiguous_format, torch.channels_last), strict=True):
        assert one.parameters[0].is_contiguous(memory_format=torch.channels_last)
        stepped = one.stepped([gradient.contiguous(memory_format=layout)])
        one.step([gradient.contiguous(memory_format=layout)])
        assert torch.equal(stepped["weight"], one.parameters[0])
    assert torch.equal(players[0].parameters[0], players[1].parameters[0])

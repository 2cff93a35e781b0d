import pytest
import torch
from torch import nn

from common.fast.adam import flat
from common.loop.engine import Engine, EngineConfig
from common.networks.generator import build_network
from common.networks.unet import UNetConfig
from variants.players.adam import AdamConfig
from variants.players.player import Player


def player(engine: Engine, seed: int = 0) -> Player:
    torch.manual_seed(seed)
    return Player(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), AdamConfig(learning_rate=0.01), engine
    )


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
        assert all(
            torch.equal(children[name], parameter)
            for name, parameter in one.network.named_parameters()
        )


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
    assert all(
        torch.allclose(a.double(), b, atol=1e-6) for a, b in zip(one.parameters, theta, strict=True)
    )


def test_gradients_belong_to_one_player_alone(engine: Engine) -> None:
    one, other = player(engine, 0), player(engine, 1)
    loss = one(torch.rand(2, 1, 5, 5)).sum() * other(torch.rand(2, 1, 5, 5)).sum()
    one.update(lambda part: (loss, {}), [None])
    assert all(parameter.grad is None for parameter in other.parameters)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_parts_of_a_batch_give_the_mean_gradient(count: int, engine: Engine) -> None:
    """Seen in Adam's moments: its step hides how long a gradient is."""
    torch.manual_seed(0)
    one = Player(nn.Conv2d(1, 2, 3), AdamConfig(learning_rate=0.01), engine)
    images = torch.rand(4, 1, 5, 5)
    expected = one.gradients(one(images).square().mean())
    figures = one.update(
        lambda part: (one(part).square().mean(), {"seen": part.mean()}), images.chunk(count)
    )
    assert figures["seen"].item() == pytest.approx(images.mean().item())
    beta1 = AdamConfig().beta1
    for m, gradient in zip(one.adam.state_dict()["m"], expected, strict=True):
        torch.testing.assert_close(m, (1 - beta1) * flat(gradient), rtol=1e-4, atol=1e-7)


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


@pytest.fixture
def mixed() -> Engine:
    return Engine(EngineConfig(device="cpu", precision="bf16"))


def test_forwards_take_working_weights_that_follow(mixed: Engine) -> None:
    one = player(mixed)
    x = torch.rand(2, 1, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        expected = one.network(x).float()
    # the same product as with weights that autocast casts
    assert torch.equal(one(x), expected)
    for change in (lambda: one.step(gradients(one, 0)), lambda: one.copy_from(player(mixed, 3))):
        change()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(one(x), one.network(x).float())
    assert all(
        parameter.dtype == torch.float32
        for parameter in one.network.state_dict().values()
        if parameter.is_floating_point()
    )


def test_gradients_through_working_and_float32_weights_add_up(mixed: Engine) -> None:
    one = player(mixed)
    x = torch.rand(2, 1, 5, 5)
    through_working = one.gradients(one(x).square().mean())
    through_float32 = one.gradients(one.network(x).square().mean())
    both = one.gradients(one(x).square().mean() + one.network(x).square().mean())
    for a, b, total in zip(through_working, through_float32, both, strict=True):
        assert torch.allclose(a.float() + b.float(), total.float(), atol=1e-6)
    assert [g.dtype for g in through_working] == [torch.bfloat16, *[torch.float32] * 3]


def test_a_weight_without_a_gradient_is_an_error(mixed: Engine) -> None:
    with pytest.raises(RuntimeError, match="does not depend"):
        one = player(mixed)
        one.gradients(one.network[1](torch.rand(2, 4, 3, 3)).sum())


def test_forgotten_activations_come_back_with_the_working_weights(mixed: Engine) -> None:
    x, gradient_lists = torch.rand(4, 1, 32, 32), []
    for recomputes in (False, True):
        torch.manual_seed(0)
        network = build_network(UNetConfig(base_width=4, dropout=0.0), 32, recomputes=recomputes)
        one = Player(network, AdamConfig(), mixed)
        gradient_lists.append(one.gradients(one(x).ab.square().mean()))
    assert all(torch.equal(a, b) for a, b in zip(*gradient_lists, strict=True))


def test_gradients_in_bfloat16_point_where_float32_ones_do(engine: Engine, mixed: Engine) -> None:
    x, directions = torch.rand(8, 1, 32, 32) * 2 - 1, []
    for precision in (engine, mixed):
        torch.manual_seed(0)
        one = Player(
            build_network(UNetConfig(base_width=16, dropout=0.0), 32), AdamConfig(), precision
        )
        gradient = one.gradients((one(x).ab - x).abs().mean())
        directions.append(torch.cat([g.float().flatten() for g in gradient]))
    assert torch.cosine_similarity(directions[0], directions[1], dim=0) > 0.99

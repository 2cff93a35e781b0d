"""Adam in pieces against torch.optim.Adam in float64."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from common.fast.adam import PIECE, FusedAdam, flat
from variants.players.adam import AdamConfig, new_adam

CONFIG = AdamConfig(learning_rate=0.01)


def fused(
    config: AdamConfig,
    weights: Sequence[Tensor],
    copies: Sequence[Tensor | None],
    rates: Sequence[float],
) -> FusedAdam:
    made = new_adam(config, weights, copies, rates, fast=True)
    assert isinstance(made, FusedAdam)
    return made


def weights() -> list[Tensor]:
    """More than a piece and no multiple of it, channels-last, row-major, a vector, a kernel of one channel."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(130, 70, 8, 8), (130, 70, 8, 8), (PIECE + 3,), (5, 1, 4, 4)]
    made = [torch.randn(shape, generator=draw) for shape in shapes]
    made[0], made[3] = (made[i].to(memory_format=torch.channels_last) for i in (0, 3))
    return made


def gradients(turn: int, like: list[Tensor]) -> list[Tensor]:
    draw = torch.Generator().manual_seed(turn)
    # row-major, whatever the weight is
    return [torch.randn(w.shape, generator=draw) for w in like]


def test_steps_are_torchs() -> None:
    ours = weights()
    theirs: list[Tensor] = [w.double().clone().requires_grad_() for w in ours]
    groups: list[Any] = [{"params": theirs[:2]}, {"params": theirs[2:], "lr": 0.001}]
    reference = torch.optim.Adam(groups, lr=0.01, betas=(0.5, 0.999))
    adam = fused(CONFIG, ours, [None] * 4, [1.0, 1.0, 0.1, 0.1])
    for turn in range(4):
        g = gradients(turn, ours)
        adam.step(g)
        for parameter, gradient in zip(theirs, g, strict=True):
            parameter.grad = gradient.double()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.double(), b, atol=1e-6)
    state = adam.state_dict()
    for m, v, parameter in zip(state["m"], state["v"], theirs, strict=True):
        assert torch.allclose(m.double(), flat(reference.state[parameter]["exp_avg"]), atol=1e-6)
        assert torch.allclose(v.double(), flat(reference.state[parameter]["exp_avg_sq"]), atol=1e-6)


def test_copies_follow_and_children_are_what_a_step_would_make() -> None:
    parameters = weights()
    copies = [parameters[0].bfloat16(), None, parameters[2].bfloat16(), parameters[3].bfloat16()]
    adam = fused(CONFIG, parameters, copies, [1.0, 1.0, 0.1, 0.1])
    for turn in range(3):  # with and without moments
        g = gradients(turn, parameters)
        before = [w.clone() for w in parameters]
        children = adam.stepped(g)
        assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))
        adam.step(g)
        for weight, copy, child in zip(parameters, copies, children, strict=True):
            assert child.shape == weight.shape and child.stride() == weight.stride()
            assert torch.equal(child, weight if copy is None else copy)
            assert copy is None or torch.equal(copy, weight.bfloat16())


def test_a_bfloat16_gradient_is_read_as_it_is() -> None:
    one, other = weights()[:1], weights()[:1]
    g = [gradients(0, one)[0].bfloat16()]
    fused(CONFIG, one, [None], [1.0]).step(g)
    fused(CONFIG, other, [None], [1.0]).step([g[0].float()])
    assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("steps", [0, 2])
def test_state_comes_back(steps: int) -> None:
    original, again = weights(), weights()
    adam, resumed = (fused(CONFIG, w, [None] * 4, [1.0] * 4) for w in (original, again))
    for turn in range(steps):
        adam.step(gradients(turn, original))
    for a, b in zip(again, original, strict=True):
        a.copy_(b)
    resumed.load_state_dict(adam.state_dict())
    for one, w in ((adam, original), (resumed, again)):
        one.step(gradients(9, w))
    assert all(torch.equal(a, b) for a, b in zip(original, again, strict=True))


def test_state_of_one_that_has_not_begun_comes_back() -> None:
    parameters = weights()
    fresh = fused(CONFIG, weights(), [None] * 4, [1.0] * 4).state_dict()
    adam = fused(CONFIG, parameters, [None] * 4, [1.0] * 4)
    adam.step(gradients(0, parameters))
    adam.load_state_dict(fresh)
    copies = [w.clone() for w in parameters]
    for one, w in ((adam, parameters), (fused(CONFIG, copies, [None] * 4, [1.0] * 4), copies)):
        one.step(gradients(1, w))
    assert all(torch.equal(a, b) for a, b in zip(parameters, copies, strict=True))


def test_the_learning_rate_comes_back_where_it_had_come_to() -> None:
    config = AdamConfig(learning_rate=0.01, decay="linear", decay_from=0.0)
    adam, resumed = (fused(config, weights()[:1], [None], [1.0]) for _ in range(2))
    adam.learning_rate = config.learning_rate_at(0.75)
    resumed.load_state_dict(adam.state_dict())
    assert resumed.learning_rate == pytest.approx(0.0025)


def test_what_does_not_learn_yet_has_no_moments() -> None:
    assert fused(CONFIG, weights(), [None] * 4, [1.0] * 4).state_dict()["m"] == []


def test_flat_is_a_view_in_memory_order() -> None:
    for weight in weights():
        view = flat(weight)
        view[1] = 77.0
        assert (weight == 77.0).sum() == 1 and view.data_ptr() == weight.data_ptr()


def test_all_at_once_is_piece_by_piece() -> None:
    """What a GPU does, on the same tensors."""
    one, other = weights(), weights()
    copies = [[w.bfloat16() for w in made] for made in (one, other)]
    pieces, at_once = (
        fused(CONFIG, w, c, [1.0, 0.5, 0.5, 1.0]) for w, c in zip((one, other), copies, strict=True)
    )
    g = gradients(0, one)
    pieces.step(g)
    at_once._begin()
    at_once._t += 1
    at_once._step_at_once([at_once._flat_gradient(i, gradient) for i, gradient in enumerate(g)])
    for a, b in zip([*one, *copies[0]], [*other, *copies[1]], strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-6)

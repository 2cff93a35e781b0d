"""What is different while both players learn: DeOldify's Adam, its frozen encoder, and the player that waits."""

import copy
from typing import Any

import pytest
import torch

from common.config import merge, parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.fast.adam import FusedAdam
from common.loop.engine import Engine
from common.loop.randomness import random_state, restore_random_state, seed_everything
from common.loop.training import Budget
from variants.cgan import Cgan, CganConfig
from variants.egan import EganConfig
from variants.players.adam import AdamConfig, new_adam
from variants.schedule.phases import AdversarialSchedule, Schedule, ScheduleConfig, schedule_of

SIZE = 32
BACKBONE = {
    "kind": "backbone",
    "encoder": "test_resnet",
    "pretrained": False,
    "decoder_width": 16,
    "dropout": 0.2,
}
GAME = {
    "learning_rate": 2e-5,
    "beta1": 0.0,
    "beta2": 0.9,
    "weight_decay": 1e-3,
    "encoder_rate": 0.0,
}
DEOLDIFY: dict[str, Any] = {
    "generator": {"network": BACKBONE, "adam": {"learning_rate": 1e-3}},
    "critic": {"network": {"base_width": 8}, "learning_rate_ratio": 5.0},
    "waiting": "evaluation",
}
SCHEDULE: dict[str, Any] = {
    "pretraining": 0.4,
    "critic_pretraining": 0.3,
    "rounds": 2,
    "stored_fakes": 8,
    "game": GAME,
}


def batch(seed: int = 0, size: int = 4) -> Batch:
    L = torch.rand(size, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Batch(L, torch.cat([L / 2, -L / 3], dim=1), torch.full((size,), -1))


def deoldify(engine: Engine, seed: int = 0, **fields: Any) -> Cgan:
    seed_everything(seed)
    return Cgan(parse(CganConfig, merge(DEOLDIFY, fields)), engine, Domain(SIZE))


def rounds_of(variant: Cgan, **fields: Any) -> Schedule:
    """DeOldify's schedule, or with some other fields."""
    return schedule_of(variant, parse(ScheduleConfig, merge(SCHEDULE, fields)))


def test_both_players_begin_the_game_with_a_fresh_adam_of_its_settings(engine: Engine) -> None:
    variant = deoldify(engine)
    phases = rounds_of(variant).phases(Budget(amount=100))
    pretrain, critic_alone, game, critic_again, _ = phases
    pretrain.step(iter([batch()]))
    critic_alone.step(iter([batch()]))
    assert variant.generator.adam.learning_rate == 1e-3 and float(variant.generator.adam._t) == 1
    game.step(iter([batch()]))
    generator, critic = variant.generator.adam, variant.critic.adam
    assert generator.learning_rate == 2e-5 and critic.learning_rate == pytest.approx(1e-4)
    assert isinstance(generator, FusedAdam) and isinstance(critic, FusedAdam)
    assert (
        generator._betas == critic._betas == (0.0, 0.9)
        and float(generator._t) == float(critic._t) == 1
    )
    game.step(iter([batch()]))
    assert float(generator._t) == 2  # not at every step
    critic_again.step(iter([batch()]))
    assert (
        variant.critic.adam.learning_rate == pytest.approx(5e-3)
        and variant.critic.adam is not critic
    )


def test_the_encoder_stands_still_in_the_game_alone(engine: Engine) -> None:
    variant = deoldify(engine)
    pretrain, _, game, *_ = rounds_of(variant).phases(Budget(amount=100))

    def moved(step: Any) -> dict[bool, bool]:
        before = {
            name: p.detach().clone()
            for name, p in zip(variant.generator.names, variant.generator.parameters, strict=True)
        }
        step(iter([batch()]))
        now = dict(zip(variant.generator.names, variant.generator.parameters, strict=True))
        return {
            part: any(
                not torch.equal(before[n], now[n]) for n in now if n.startswith("encoder.") == part
            )
            for part in (True, False)
        }

    assert moved(pretrain.step) == {True: True, False: True}
    assert moved(game.step) == {True: False, False: True}


@pytest.mark.parametrize("waiting", ["training", "evaluation"])
def test_who_waits_is_in_the_mode_that_is_set(waiting: str, engine: Engine) -> None:
    """In DeOldify the generator makes fakes, and the critic judges them, in evaluation mode while the other one learns."""
    variant = deoldify(engine, waiting=waiting)
    modes: dict[str, list[tuple[bool, bool]]] = {"generator": [], "critic": []}
    for name, player in (("generator", variant.generator), ("critic", variant.critic)):
        player.network.register_forward_hook(
            lambda m, args, out, name=name: modes[name].append(
                (m.training, torch.is_grad_enabled())
            )
        )
    variant.step(iter([batch()]))
    if waiting == "training":
        assert modes["generator"] == [(True, True)] and {mode for mode, _ in modes["critic"]} == {
            True
        }
    else:
        # the fakes of the critic's update, and its own
        assert modes["generator"] == [
            (False, False),
            (True, True),
        ]
        assert [mode for mode, _ in modes["critic"]] == [True, True, False]
    modes["generator"].clear()
    variant.pretrain_critic(
        iter([batch()]), lambda real: Batch(real.L, variant.colourise_now(real), real.label)
    )
    assert modes["generator"][0] == (waiting == "training", False)
    assert variant.generator.network.training and variant.critic.network.training


def test_a_run_resumes_exactly_inside_the_game(engine: Engine) -> None:
    whole, stream = rounds_of(deoldify(engine)), [batch(n) for n in range(12)]
    for phase, number in zip(whole.phases(Budget(amount=100))[:3], range(3), strict=True):
        phase.step(iter([stream[number]]))
        whole.advance(0.2 * number)
    state = copy.deepcopy((whole.state_dict(), whole.variant.state_dict()))
    noise = random_state()

    def rest(schedule: Schedule) -> list[torch.Tensor]:
        for number, phase in enumerate(schedule.phases(Budget(amount=100))[2:], 3):
            phase.step(iter(stream[number:]))
            schedule.advance(0.2 * number)
        players = schedule.variant.players
        return [p.clone() for player in players for p in player.parameters]

    expected = rest(whole)
    resumed = rounds_of(deoldify(engine, seed=9))
    resumed.load_state_dict(state[0])
    resumed.variant.load_state_dict(state[1])
    restore_random_state(noise)
    assert all(torch.equal(a, b) for a, b in zip(expected, rest(resumed), strict=True))


def test_weight_decay_is_that_of_adamw(engine: Engine) -> None:
    torch.manual_seed(0)
    w = torch.randn(7, 5)
    ours = w.clone()
    theirs = w.double().requires_grad_()
    adam = new_adam(
        AdamConfig(learning_rate=0.01, weight_decay=0.1), [ours], [None], [1.0], fast=True
    )
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.5, 0.999), weight_decay=0.1)
    for _ in range(4):
        g = torch.randn(7, 5)
        predicted = adam.stepped([g])
        adam.step([g])
        theirs.grad = g.double()
        reference.step()
        assert torch.equal(predicted[0], ours)
    assert torch.allclose(ours.double(), theirs.detach(), atol=1e-6)


def test_the_generator_before_the_game_can_be_the_best(engine: Engine) -> None:
    variant = deoldify(engine)
    schedule = rounds_of(variant, inflection={"metric": "delta_e", "patience": 2}, rounds=1)
    assert isinstance(schedule, AdversarialSchedule)
    *_, game = schedule.phases(Budget(amount=100))
    assert game.looks_first
    schedule.observe(0, {"delta_e": 10.0}, opening=True)
    before = [p.clone() for p in variant.generator.parameters]
    for number, adversarial in enumerate((3.0, 2.0), 1):
        game.step(iter([batch(number)]))
        # as if the game had gone like this: worse colours, a fooled critic
        schedule.inflection._losses = [adversarial]
        figures = schedule.observe(number, {"delta_e": 20.0 + number})
    assert game.ended() and figures == {"inflection/decided_at": 2.0, "inflection/best_at": 0.0}
    assert all(torch.equal(a, b) for a, b in zip(before, variant.generator.parameters, strict=True))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ColourbenchError, match="share one forward"):
        parse(EganConfig, {"waiting": "evaluation"})

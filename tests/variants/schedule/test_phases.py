"""Phases, stored fakes, thresholds, the inflection, learning rates and averages."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from common.loop.training import Budget, Losses, Phase
from variants.cgan import Cgan, CganConfig
from variants.contract.variant import Variant, VariantConfig
from variants.egan import Egan, EganConfig
from variants.players.adam import AdamConfig
from variants.regression import Regression, RegressionConfig
from variants.schedule.inflection import Inflection, InflectionConfig
from variants.schedule.phases import AdversarialSchedule, Schedule, ScheduleConfig, schedule_of
from variants.wgan_gp import WganGp, WganGpConfig

SIZE = 32
SMALL: dict[str, Any] = {
    "generator": {"network": {"base_width": 8}},
    "critic": {"network": {"base_width": 8}},
}
BUDGET = Budget(amount=1000, unit="images")


def cgan(engine: Engine, **fields: Any) -> Cgan:
    seed_everything(0)
    return Cgan(parse(CganConfig, SMALL | fields), engine, Domain(SIZE, 3))


def stream(seed: int = 0, size: int = 4) -> Iterator[Batch]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        L = torch.rand(size, 1, SIZE, SIZE, generator=draw) * 2 - 1
        yield Batch(L, torch.cat([L / 2, -L / 2], dim=1), torch.arange(size) % 3)


def scheduled(variant: Variant, **fields: Any) -> Schedule:
    """The schedule of these settings."""
    return schedule_of(variant, parse(ScheduleConfig, fields))


def critic_alone(variant: Variant, stored_fakes: int = 512) -> Callable[[Iterator[Batch]], Losses]:
    """The step of the phase in which only the critic trains."""
    fields = {"critic_pretraining": 0.5, "stored_fakes": stored_fakes}
    phases = scheduled(variant, **fields).phases(BUDGET)
    return next(phase.step for phase in phases if phase.name == "pretrain_critic")


def shares(phases: list[Phase]) -> list[tuple[str, float]]:
    return [(phase.name, round(phase.amount, 6)) for phase in phases]


def test_nogan_is_a_schedule(engine: Engine) -> None:
    config = {"pretraining": 0.5, "critic_pretraining": 0.2, "rounds": 2}
    expected = [("pretrain_generator", 500), *[("pretrain_critic", 100), ("adversarial", 150)] * 2]
    for variant in (
        cgan(engine),
        WganGp(parse(WganGpConfig, SMALL), engine, Domain(SIZE)),
        Egan(parse(EganConfig, SMALL), engine, Domain(SIZE)),
    ):
        assert shares(scheduled(variant, **config).phases(BUDGET)) == expected


def test_fakes_are_made_once_while_the_generator_stands_still(engine: Engine) -> None:
    variant = cgan(engine)
    forwards: list[int] = []
    variant.generator.network.register_forward_hook(lambda *_: forwards.append(1))
    batches = stream()
    weights = [p.clone() for p in variant.generator.parameters]
    pretrain = critic_alone(variant, stored_fakes=8)
    for _ in range(6):
        losses = pretrain(batches)
    assert len(forwards) == 2  # two batches of 4 fill the store
    assert all(
        torch.equal(a, b) for a, b in zip(weights, variant.generator.parameters, strict=True)
    )
    assert "critic_accuracy" in losses and variant.updates() == (0, 6)
    variant.step(batches)
    pretrain(batches)
    assert len(forwards) == 4  # the generator has learnt: its old fakes are outdated


def test_a_pretrained_critic_tells_real_from_fake(engine: Engine) -> None:
    variant = cgan(engine)
    batches = stream(size=8)
    for _ in range(20):
        variant.pretrain_generator(batches)
    pretrain = critic_alone(variant, stored_fakes=16)
    accuracies = [pretrain(batches)["critic_accuracy"].item() for _ in range(60)]
    assert sum(accuracies[-10:]) / 10 > 0.95 > sum(accuracies[:3]) / 3


def test_a_penalty_holds_while_the_critic_is_pretrained(engine: Engine) -> None:
    critic = {"network": {"base_width": 8, "norm": "layer"}, "adam": {"learning_rate": 1e-3}}
    variant = cgan(engine, objective="wasserstein", penalty_weight=100.0, critic=critic)
    batches = stream()
    pretrain = critic_alone(variant)
    norms = [pretrain(batches)["gradient_norm"].item() for _ in range(120)]
    assert sum(norms[-20:]) / 20 == pytest.approx(1.0, abs=0.2)


def test_accuracy_is_measured_at_the_objectives_own_boundary(engine: Engine) -> None:
    real, fake = [torch.full((2, 1, 1, 1), 0.9)], [torch.full((2, 1, 1, 1), 0.2)]
    accuracies = {
        name: cgan(engine, objective=name).critic_accuracy(real, fake).item()
        for name in ("vanilla", "least_squares", "relativistic")
    }
    assert accuracies == {"vanilla": 0.5, "least_squares": 1.0, "relativistic": 1.0}


def test_the_threshold_decides_how_often_the_critic_learns(engine: Engine) -> None:
    for threshold, updates in ((1e-6, 4), (100.0, 1)):
        variant = cgan(engine, critic_threshold=threshold, most_critic_updates=4)
        variant.step(stream())
        assert variant.updates() == (1, updates)


def test_the_threshold_is_for_any_critic_that_judges_by_cross_entropy(engine: Engine) -> None:
    for threshold, updates in ((1e-6, 4), (100.0, 1)):
        fields = SMALL | {"critic_threshold": threshold, "most_critic_updates": 4}
        variant = Egan(parse(EganConfig, fields), engine, Domain(SIZE))
        variant.step(stream())
        assert variant.updates() == (1, updates)


def looks(metrics: list[float], adversarial: list[float], **config: Any) -> list[bool]:
    detector = Inflection(
        InflectionConfig.model_validate(
            {"metric": "delta_e", "patience": 2, "tolerance": 0.02} | config
        )
    )
    decided = []
    for number, (metric, loss) in enumerate(zip(metrics, adversarial, strict=True)):
        detector.note(1, loss)
        detector.observe(100 * number, metric)
        decided.append(detector.decided_in(1))
    return decided


def test_the_inflection_is_a_turn_while_the_game_goes_well() -> None:
    falling = [3.0, 2.5, 2.0, 1.5, 1.2, 1.0]
    turned = [10.0, 9.0, 8.0, 8.5, 9.0, 9.5]
    assert looks(turned, falling) == [False, False, False, False, True, True]
    assert not any(looks(turned, falling[::-1])), (
        "the loss rises: unstable training is no inflection"
    )
    assert not any(looks([10.0, 9.0, 8.0, 7.5, 7.0, 6.5], falling)), "still improving"
    assert not any(looks([10.0, 9.0, 8.0, 8.1, 8.1, 8.1], falling)), "within the tolerance"
    assert not any(looks([8.0, 9.0, 7.9, 9.0, 7.8, 9.0], falling)), (
        "one bad look is not two in a row"
    )


def test_other_phases_and_rounds_do_not_count() -> None:
    detector = Inflection(InflectionConfig(metric="delta_e", patience=1))
    assert not detector.is_watching  # before any adversarial step
    detector.note(1, 5.0)
    assert detector.observe(100, 1.0)
    detector.note(1, 4.0)
    detector.observe(200, 2.0)
    assert detector.decided_in(1) and not detector.decided_in(2)
    detector.note(1, 3.0)
    detector.pause()
    assert not detector.is_watching  # the critic is pretrained again: nothing to see
    detector.note(2, 3.0)
    assert not detector.decided_in(2)
    other = Inflection(InflectionConfig(metric="delta_e", patience=1))
    other.load_state_dict(detector.state_dict())
    assert other.state_dict() == detector.state_dict()


def test_the_decision_ends_the_phase_and_brings_the_best_generator_back(engine: Engine) -> None:
    variant = cgan(engine)
    schedule = scheduled(variant, inflection={"metric": "delta_e", "patience": 1})
    assert isinstance(schedule, AdversarialSchedule)
    (phase,) = schedule.phases(BUDGET)
    batches, logged = stream(), {}
    for images, (metric, adversarial) in enumerate([(5.0, 9.0), (4.0, 2.0), (6.0, -1e9)]):
        phase.step(batches)
        # as if the game had gone like this
        schedule.inflection._losses = [adversarial]
        assert not phase.ended()
        if metric == 4.0:
            best = [p.clone() for p in variant.generator.parameters]
        logged = schedule.observe(images, {"delta_e": metric})
    assert phase.ended() and logged == {"inflection/decided_at": 2.0, "inflection/best_at": 1.0}
    assert all(torch.equal(a, b) for a, b in zip(best, variant.generator.parameters, strict=True))


@pytest.mark.parametrize(
    ("decay", "at"),
    [
        ("constant", {0.0: 1, 0.75: 1, 1.0: 1}),
        ("linear", {0.0: 1, 0.5: 1, 0.75: 0.5, 1.0: 0}),
        ("exponential", {0.5: 1, 0.75: 0.1, 1.0: 0.01}),
        ("cosine", {0.5: 1, 0.75: 0.5, 1.0: 0}),
    ],
)
def test_learning_rates_fall(decay: str, at: dict[float, float], engine: Engine) -> None:
    adam = AdamConfig.model_validate({"decay": decay, "learning_rate": 0.01})
    variant = Regression(
        parse(RegressionConfig, SMALL_GENERATOR | {"generator": {"adam": adam.model_dump()}}),
        engine,
        Domain(SIZE),
    )
    for used, factor in at.items():
        variant.advance(used)
        assert variant.generator.adam.learning_rate == pytest.approx(0.01 * factor, abs=1e-9)


SMALL_GENERATOR = {"generator": SMALL["generator"]}


def test_the_encoder_learns_at_its_own_rate(engine: Engine) -> None:
    network = {
        "kind": "backbone",
        "encoder": "test_resnet",
        "pretrained": False,
        "encoder_rate": 0.1,
        "decoder_width": 16,
    }
    variant = Regression(
        parse(RegressionConfig, {"generator": {"network": network}}), engine, Domain(SIZE)
    )
    gradients = [torch.ones_like(p) for p in variant.generator.parameters]
    before = [p.detach().clone() for p in variant.generator.parameters]
    children = variant.generator.stepped(gradients)
    variant.generator.step(gradients)
    for name, p, old in zip(
        variant.generator.names, variant.generator.parameters, before, strict=True
    ):
        # Adam's first step is the learning rate
        rate = 2e-5 if name.startswith("encoder.") else 2e-4
        assert torch.allclose(old - p, torch.full_like(p, rate), rtol=1e-2, atol=1e-7)
    assert all(
        torch.equal(children[name], p)
        for name, p in zip(variant.generator.names, variant.generator.parameters, strict=True)
    )


def test_the_critics_rate_as_a_multiple_of_the_generators(engine: Engine) -> None:
    variant = cgan(engine, critic=SMALL["critic"] | {"learning_rate_ratio": 5.0})
    assert variant.critic.adam.learning_rate == pytest.approx(1e-3)


def test_averaged_weights_colourise(engine: Engine) -> None:
    variant = cgan(engine, generator=SMALL["generator"] | {"average": 0.9})
    batches, expected = stream(), torch.empty(0)
    for update in range(5):
        variant.step(batches)
        variant.advance(0.0)
        weight = variant.generator.parameters[0].detach().clone()
        keep = min(0.9, (1 + update) / (10 + update))
        expected = weight if update == 0 else keep * expected + (1 - keep) * weight
    averaged = variant.colourise.network
    assert averaged is not variant.generator.network
    assert torch.allclose(next(averaged.parameters()), expected, atol=1e-6)
    variant.advance(0.0)  # nothing learnt since: nothing to average
    assert torch.allclose(next(averaged.parameters()), expected, atol=1e-6)


def test_the_generator_starts_the_same_with_any_critic(engine: Engine) -> None:
    """So that pretraining can be shared: neither the weights nor what is drawn after them depend on the critic."""
    starts = []
    for variant_class, fields in (
        (Regression, {}),
        (Cgan, {}),
        (WganGp, {}),
        (Egan, {}),
        (Egan, {"parents": 3}),
    ):
        seed_everything(3)
        known = variant_class.Config.model_fields
        config = parse(
            variant_class.Config, {k: v for k, v in (SMALL | fields).items() if k in known}
        )
        variant = variant_class(config, engine, Domain(SIZE))  # type: ignore[arg-type]
        starts.append((variant.generator.parameters[3].clone(), torch.rand(3)))
    assert all(
        torch.equal(starts[0][0], weight) and torch.equal(starts[0][1], drawn)
        for weight, drawn in starts[1:]
    )


def test_labels_are_withheld_at_random_and_always_where_none_are_wanted(engine: Engine) -> None:
    conditional = cgan(engine, generator=SMALL["generator"] | {"labels": True}, label_dropout=0.3)
    labels = torch.cat([conditional.draw(stream(size=500)).label for _ in range(2)])
    assert (labels == -1).float().mean().item() == pytest.approx(
        0.3, abs=0.06
    ) and labels.max() == 2
    assert (cgan(engine).draw(stream()).label == -1).all()
    with pytest.raises(ColourbenchError, match="the data set has no labels"):
        Cgan(parse(CganConfig, SMALL | {"generator": {"labels": True}}), engine, Domain(SIZE))


def test_accumulated_parts_are_the_mean_gradient(engine: Engine) -> None:
    """Without batch statistics a step in parts is the step on the whole batch."""
    network = {"base_width": 8, "norm": "none", "dropout": 0.0}
    trained = []
    for accumulation in (1, 4):
        fields = {
            "generator": {"network": network},
            "critic": {"network": {"base_width": 8, "norm": "none"}},
        }
        variant = cgan(engine, **fields, accumulation=accumulation)
        variant.step(stream(size=8))
        trained.append(
            [p.clone() for p in [*variant.generator.parameters, *variant.critic.parameters]]
        )
    differences = torch.cat([(a - b).abs().flatten() for a, b in zip(*trained, strict=True)])
    # Adam's first step is ±rate, whatever the size of a gradient near 0
    assert (differences > 2e-6).float().mean() < 1e-3


REFUSED = [
    ({"critic": {"network": {"projection": True}}}, "generator never sees"),
    ({"penalty_weight": 10.0}, "mixes the images"),
    ({"objective": "wasserstein", "critic": {"network": {"norm": "layer"}}}, "grow without bound"),
    ({"objective": "hinge", "critic": {"real_label": 0.9}}, "no meaning with objective=hinge"),
    ({"objective": "hinge", "critic_threshold": 0.65}, "another scale"),
    ({"test_time": "noise", "generator": {"network": {"dropout": 0.0}}}, "dropout is the noise"),
    (
        {"generator": {"network": {"kind": "backbone", "frozen": True, "pretrained": False}}},
        "keep random weights",
    ),
    (
        {"generator": {"network": {"kind": "backbone", "frozen": True, "encoder_rate": 0.1}}},
        "without effect",
    ),
    ({"generator": {"network": {"kind": "backbone", "base_width": 8}}}, "not a known field"),
    ({"reconstruction": {"loss": "l1", "delta": 0.1}}, "not a known field"),
]


@pytest.mark.parametrize(("fields", "reason"), REFUSED)
def test_what_makes_no_sense_is_refused_with_the_reason(
    fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ColourbenchError, match=reason):
        parse(CganConfig, fields)


def test_what_belongs_to_other_variants_is_refused() -> None:
    with pytest.raises(ColourbenchError, match="share one forward pass"):
        parse(EganConfig, {"accumulation": 2})
    with pytest.raises(ColourbenchError, match="unrelated parents"):
        parse(EganConfig, {"parents": 2, "generator": {"average": 0.9}})
    with pytest.raises(ColourbenchError, match="this critic gives a distance"):
        parse(WganGpConfig, {"critic": {"real_label": 0.9}})
    with pytest.raises(ColourbenchError, match="has another scale; use n_critic"):
        parse(WganGpConfig, {"critic_threshold": 0.65})


WASSERSTEIN = {
    "objective": "wasserstein",
    "penalty_weight": 10.0,
    "critic": {"network": {"norm": "layer"}},
}
SCHEDULES_REFUSED = [
    (CganConfig, {}, {"rounds": 2}, "set critic_pretraining above 0"),
    (CganConfig, {}, {"pretraining": 0.6, "critic_pretraining": 0.4}, "leave nothing"),
    (CganConfig, {}, {"game": {"encoder_rate": 0.0}}, "needs a generator with an encoder"),
    (CganConfig, WASSERSTEIN, {"inflection": {"metric": "delta_e"}}, "drifts"),
    (WganGpConfig, {}, {"inflection": {"metric": "delta_e"}}, "drifts"),
    (RegressionConfig, {}, {"critic_pretraining": 0.2}, "schedule.critic_pretraining is for"),
    (RegressionConfig, {}, {"stored_fakes": 8}, "schedule.stored_fakes is for"),
    (
        RegressionConfig,
        {},
        {"inflection": {"metric": "delta_e"}},
        "variant.name=regression has none",
    ),
]


@pytest.mark.parametrize(("method", "fields", "schedule", "reason"), SCHEDULES_REFUSED)
def test_a_schedule_that_the_method_cannot_follow_is_refused(
    method: type[VariantConfig], fields: dict[str, Any], schedule: dict[str, Any], reason: str
) -> None:
    config = parse(method, fields)
    with pytest.raises((ColourbenchError, ValueError), match=reason):
        parse(ScheduleConfig, schedule).check(config)


def test_only_the_inflection_acts_on_validations() -> None:
    """Then how often a run is validated belongs to its identity."""
    assert not ScheduleConfig(pretraining=0.5, critic_pretraining=0.2).acts_on_validation
    watching = parse(ScheduleConfig, {"inflection": {"metric": "delta_e"}})
    assert watching.acts_on_validation
    watching.check(CganConfig())


def test_a_method_without_a_critic_can_be_pretrained() -> None:
    ScheduleConfig(pretraining=1.0).check(RegressionConfig())

"""Every option beside every other: a covering set of combinations learns, resumes exactly and colourises."""

import copy
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import pytest
import torch

from common.config import merge, parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import random_state, restore_random_state, seed_everything
from common.loop.training import Budget
from variants.contract.variant import Variant
from variants.registry import CLASSES, build, variant_class
from variants.schedule.phases import Schedule, ScheduleConfig, schedule_of

SIZE = 32
SMALL: dict[str, Any] = {
    "generator": {"network": {"base_width": 8}},
    "critic": {"network": {"base_width": 8}},
}
BACKBONE = {"kind": "backbone", "pretrained": False, "decoder_width": 16, "dropout": 0.2}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "variant": {name: {} for name in CLASSES},
    "network": {
        "unet": {},
        "resnet": {
            "generator": {
                "network": BACKBONE
                | {"encoder": "test_resnet", "attention": True, "spectral_norm": True}
            }
        },
        "convnext": {
            "generator": {
                "network": BACKBONE
                | {"encoder": "test_convnext", "upsampling": "bilinear", "bridge_width": 16}
            }
        },
    },
    "reconstruction": {
        "l1": {},
        "huber": {"reconstruction": {"loss": "huber"}},
        "features": {
            "reconstruction": {"loss": "features", "encoder": "test_resnet", "pretrained": False}
        },
        "bins": {"reconstruction": {"loss": "bins", "width": 22.0}},
    },
    "labels": {"none": {}, "given": {"generator": {"labels": True}}},
    "critic": {
        "patches": {},
        "projection": {"critic": {"network": {"projection": True}}, "generator": {"labels": True}},
        "scales": {"critic": {"network": {"scales": 2, "layers": 2, "spectral_norm": True}}},
    },
    "weights": {
        "last": {},
        "average": {"generator": {"average": 0.99, "adam": {"decay": "cosine"}}},
    },
    "memory": {
        "plain": {},
        "recompute": {"generator": {"recompute": True}},
        "parts": {"accumulation": 2},
    },
    # what each stands for is in SCHEDULES
    "schedule": {"plain": {}, "nogan": {}},
}
SCHEDULES = {
    "plain": ScheduleConfig(),
    "nogan": ScheduleConfig(pretraining=0.3, critic_pretraining=0.3, rounds=2, stored_fakes=8),
}


def covering() -> list[dict[str, str]]:
    """Few combinations that hold every pair of options at least once (greedy)."""
    names = list(OPTIONS)
    wanted = {
        ((a, x), (b, y))
        for a, b in combinations(names, 2)
        for x, y in product(OPTIONS[a], OPTIONS[b])
    }
    chosen: list[dict[str, str]] = []
    draw = torch.Generator().manual_seed(0)
    while wanted:
        pool = [
            {
                n: list(OPTIONS[n])[int(torch.randint(len(OPTIONS[n]), (), generator=draw))]
                for n in names
            }
            for _ in range(200)
        ]
        best = max(
            pool, key=lambda candidate: len(wanted & set(combinations(candidate.items(), 2)))
        )
        wanted -= set(combinations(best.items(), 2))
        chosen.append(best)
    return chosen


def fields(combination: dict[str, str]) -> dict[str, Any]:
    """The settings of a combination, without what its variant does not have."""
    known = variant_class(combination["variant"]).Config.model_fields
    given: dict[str, Any] = SMALL
    for name, option in combination.items():
        given = merge(given, OPTIONS[name][option])
    given = copy.deepcopy({key: value for key, value in given.items() if key in known})
    if "kind" in given["generator"]["network"]:
        del given["generator"]["network"]["base_width"]
    if combination["variant"] == "egan":
        given.pop("accumulation", None)
    return given


def batches(seed: int = 0, size: int = 8) -> Iterator[Batch]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        L = torch.rand(size, 1, 4, 4, generator=draw) * 2 - 1
        L = torch.nn.functional.interpolate(L, SIZE, mode="bilinear")
        yield Batch(L, torch.cat([L / 2, -L / 3], dim=1), torch.arange(size) % 3)


DOMAIN = Domain(SIZE, 3, lambda: next(batches(9)).ab, lambda size: batches(1, size))


def new(combination: dict[str, str], engine: Engine, seed: int = 0) -> Variant:
    seed_everything(seed)
    config = parse(variant_class(combination["variant"]).Config, fields(combination))
    return build(config, engine, DOMAIN)


def advance(schedule: Schedule, stream: Iterator[Batch]) -> list[dict[str, torch.Tensor]]:
    """One or two steps of every phase of the schedule, as the loop makes them."""
    losses = []
    for number, phase in enumerate(schedule.phases(Budget(amount=100))):
        for _ in range(2):
            losses.append(phase.step(stream))
            schedule.advance(0.4 + 0.1 * number)
    return losses


@pytest.mark.parametrize("combination", covering(), ids=lambda c: "-".join(c.values()))
def test_resumes_exactly_and_colourises(combination: dict[str, str], engine: Engine) -> None:
    whole = new(combination, engine)
    schedule = schedule_of(whole, SCHEDULES[combination["schedule"]])
    stream = batches()
    advance(schedule, stream)
    state, noise = copy.deepcopy((schedule.state_dict(), whole.state_dict())), random_state()
    rest = [next(stream) for _ in range(80)]
    expected = advance(schedule, iter(rest))
    # its encoder is drawn here
    seed = 0 if combination["reconstruction"] == "features" else 99
    resumed = new(combination, engine, seed)
    resumed_schedule = schedule_of(resumed, SCHEDULES[combination["schedule"]])
    resumed_schedule.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    restore_random_state(noise)
    resumed_losses = advance(resumed_schedule, iter(rest))
    assert all(
        torch.equal(a[name], b[name])
        for a, b in zip(expected, resumed_losses, strict=True)
        for name in a
    )
    assert all(torch.isfinite(value) for losses in resumed_losses for value in losses.values())
    batch = next(batches(5))
    ab = resumed.colourise(batch.L, batch.label)
    assert torch.equal(ab, whole.colourise(batch.L, batch.label)) and ab.shape == (8, 2, SIZE, SIZE)


@pytest.mark.parametrize(
    ("network", "reconstruction"),
    [
        ("unet", "huber"),
        ("unet", "features"),
        ("unet", "bins"),
        ("resnet", "l1"),
        ("convnext", "bins"),
    ],
)
def test_learns_a_toy_mapping(network: str, reconstruction: str, engine: Engine) -> None:
    combination = {"variant": "cgan", "network": network, "reconstruction": reconstruction}
    given = merge(fields(combination), {"generator": {"adam": {"learning_rate": 1e-3}}})
    seed_everything(0)
    variant = build(parse(variant_class("cgan").Config, given), engine, DOMAIN)
    held_out, stream = next(batches(2, 16)), batches(1)
    for _ in range(80):
        variant.step(stream)
    error = (variant.colourise(held_out.L) - held_out.ab).abs().mean()
    # 0.09 to 0.25 over eight seeds in float32, of bins 0.2 to 0.5
    assert error < 0.8 * held_out.ab.abs().mean()


def test_a_combination_without_labels_is_refused(engine: Engine) -> None:
    given = fields({"variant": "cgan", "labels": "given"})
    with pytest.raises(ColourbenchError, match="no labels"):
        build(parse(variant_class("cgan").Config, given), engine, Domain(SIZE))

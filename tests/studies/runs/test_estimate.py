"""The estimate against real runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.config import merge, parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.estimate import Estimate, _measure, estimate

RUN: dict[str, Any] = {
    "dataset": "fields-32",
    "budget": {"amount": 480, "unit": "images"},
    "batches": {"size": 8},
    "engine": {"device": "cpu", "precision": "32", "threads": 1},
    "watch": {"validations": 2, "validation_images": 8, "preview_images": 0},
    "variant": {"name": "cgan"},
}


WIDTHS = [
    "--set",
    "variant.generator.network.base_width=32",
    "--set",
    "variant.critic.network.base_width=32",
]


def measured(dataset: Dataset, **changes: Any) -> Estimate:
    """In this process, which has torch already."""
    return _measure(dataset.folder, parse(RunConfig, merge(RUN, changes)))


@pytest.mark.integration
def test_memory_is_right_to_15_percent(home: Path, dataset: Dataset) -> None:
    small = {"network": {"base_width": 32}}
    estimated = estimate(
        dataset, parse(RunConfig, merge(RUN, {"variant": {"generator": small, "critic": small}}))
    )
    settings = [
        "watch.validation_images=8",
        "engine.precision='32'",
        "engine.threads=1",
        "batches.size=8",
    ]
    options = [word for setting in settings for word in ("--set", setting)] + WIDTHS
    command = [
        sys.executable,
        "-m",
        "colourbench",
        "train",
        "cgan",
        "--data",
        dataset.name,
        "--images",
        "64",
        "--home",
        str(home),
    ]
    subprocess.run([*command, *options], check=True, capture_output=True)
    (run,) = Home(home).store.find("train", {})
    assert estimated.peak_memory_gb == pytest.approx(run.metrics["peak_memory_gb"], rel=0.15)
    assert estimated.generator_parameters == run.metrics["generator_parameters"]
    assert estimated.critic_parameters == 694_689  # half of pix2pix's width


def test_every_phase_is_measured(dataset: Dataset) -> None:
    small = {"network": {"base_width": 8}}
    estimated = measured(
        dataset,
        variant={"generator": small, "critic": small},
        schedule={"pretraining": 0.5, "critic_pretraining": 0.25, "rounds": 2},
    )
    assert [phase.name for phase in estimated.phases] == [
        "pretrain_generator",
        "pretrain_critic",
        "adversarial",
    ]
    pretraining, _, game = estimated.phases
    assert game.gflops > pretraining.gflops > 0
    assert pretraining.hours == pytest.approx(pretraining.seconds * (240 / 8) / 3600)


def test_recomputing_costs_another_forward(dataset: Dataset) -> None:
    network = {
        "kind": "backbone",
        "encoder": "test_resnet",
        "pretrained": False,
        "decoder_width": 16,
        "attention": True,
    }
    plain, forgetful = (
        measured(
            dataset,
            variant={
                "name": "regression",
                "generator": {"network": network, "recompute": recompute},
            },
        )
        .phases[0]
        .gflops
        for recompute in (False, True)
    )
    assert 1.1 * plain < forgetful < 1.4 * plain


def test_flops_are_those_of_the_layers(dataset: Dataset) -> None:
    """Three forwards' worth for one forward and its backward, less the first layer's gradient towards L."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from common.networks.unet import UNet, UNetConfig

    estimated = measured(
        dataset, variant={"name": "regression", "generator": {"network": {"base_width": 8}}}
    )
    with FlopCounterMode(display=False) as counter:
        UNet(UNetConfig(base_width=8), 32)(torch.zeros(8, 1, 32, 32))
    forward = counter.get_total_flops() / 1e9
    assert 2.5 * forward < estimated.phases[0].gflops < 3 * forward


def test_mistakes_are_told_in_a_line(dataset: Dataset) -> None:
    with pytest.raises(ColourbenchError, match=r"^variant\.critic\.network: layers=5"):
        estimate(
            dataset,
            parse(RunConfig, merge(RUN, {"variant": {"critic": {"network": {"layers": 5}}}})),
        )

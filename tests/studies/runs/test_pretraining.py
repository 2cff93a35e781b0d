"""Pretraining that is taken over gives, bit for bit, the run that pretrained by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from common.config import merge, parse
from common.data.shards import Dataset
from common.system.names import GENERATOR
from common.tracking import Run
from studies.home import Home
from studies.runs import pretraining
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, RunOptions, train_run

RUN: dict[str, Any] = {
    "dataset": "fields-32",
    "budget": {"amount": 96, "unit": "images"},
    "batches": {"size": 8},
    "watch": {"validations": 4, "validation_images": 8, "log_steps": 2, "preview_images": 0},
    "engine": {"device": "cpu", "precision": "32"},
    "schedule": {"pretraining": 0.5},
    "variant": {
        "name": "cgan",
        "generator": {"network": {"base_width": 8}, "average": 0.9},
        "critic": {"network": {"base_width": 8}, "adam": {"decay": "linear", "decay_from": 0.2}},
    },
}


def config(**changes: Any) -> RunConfig:
    return parse(RunConfig, merge(RUN, changes))


def trained(rooms: Home, dataset: Dataset, settings: RunConfig, name: str) -> Run:
    return rooms.store.run(
        train_run(
            rooms.store, dataset, settings, Place("shared", name, {}), RunOptions(test=False)
        ).id
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(run.folder / GENERATOR)
    return tensors


@pytest.mark.parametrize("name", ["cgan", "wgan_gp", "egan"])
def test_taking_over_changes_nothing(name: str, home: Path, dataset: Dataset) -> None:
    rooms, adam = Home(home), {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
    generator = {"generator": {"adam": adam}}
    first = config(variant={"name": "cgan", **generator, "reconstruction_weight": 50.0})
    settings = config(variant={"name": name, **generator})
    alone = trained(rooms, dataset, settings, "alone")
    (file,) = (home / pretraining.FOLDER).glob("*.pt")
    file.unlink()
    other = trained(rooms, dataset, first, "other")
    # the critic does not matter
    assert [path.name for path in (home / pretraining.FOLDER).glob("*.pt")] == [file.name]
    # the same settings again, in a study of its own, find what `other` left
    place = Place("again", "shared", {}, None)
    shared = rooms.store.run(
        train_run(rooms.store, dataset, settings, place, RunOptions(test=False)).id
    )
    assert (
        shared.tags["pretraining"] == f"taken over from run {other.id[:8]}"
        and "pretraining" not in alone.tags
    )
    first_weights, second_weights = weights(alone), weights(shared)
    assert all(torch.equal(first_weights[key], second_weights[key]) for key in first_weights)
    for metric in ("train/reconstruction", "validation/delta_e", "updates"):
        a, b = (
            [(item.step, item.value) for item in run.history(metric)] for run in (alone, shared)
        )
        assert a == b and len(a) >= 2, metric


def test_what_would_pretrain_otherwise_shares_nothing(home: Path) -> None:
    def file(**changes: Any) -> Path | None:
        return pretraining.file_for(home, config(**changes), "data")

    assert file() == file(
        variant={"reconstruction_weight": 1.0}, schedule={"critic_pretraining": 0.1}
    )
    different: list[dict[str, Any]] = [
        {"seed": 1},
        {"budget": {"amount": 100}},
        {"batches": {"size": 4}},
        {"variant": {"reconstruction": "l2"}},
        {"variant": {"generator": {"network": {"base_width": 4}}}},
        {"schedule": {"pretraining": 0.25}},
        {"variant": {"name": "egan", "parents": 2, "generator": {"average": 0.0}}},
    ]
    assert len({file(), *(file(**changes) for changes in different)}) == 1 + len(different)
    assert file(schedule={"pretraining": 0.0}) is None


def test_a_damaged_file_is_passed_over(home: Path, dataset: Dataset) -> None:
    rooms, settings = Home(home), config()
    file = pretraining.file_for(home, settings, dataset.fingerprint)
    assert file is not None
    file.parent.mkdir()
    file.write_bytes(b"half a checkpoint")
    run = trained(rooms, dataset, settings, "alone")
    assert run.status == "FINISHED" and "pretraining" not in run.tags
    assert pretraining.load(file) is not None

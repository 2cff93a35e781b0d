"""Who tests is never trained on: with noise in place of the test split's photographs, everything that is trained is the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from common.config import parse
from common.data.shards import Dataset
from common.system.names import GENERATOR
from common.tracking import Run
from studies.comparisons.cells.untrained import baseline
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, train_run

SMALL = {"network": {"base_width": 8}}
VARIANTS: dict[str, dict[str, Any]] = {
    # batch statistics are calibrated, fakes are stored, and the critic is pretrained
    "cgan": {"generator": SMALL, "critic": SMALL},
    # the prior over colours
    "regression": {"generator": {"network": {"base_width": 8}}, "reconstruction": {"loss": "bins"}},
}
SCHEDULES: dict[str, dict[str, float]] = {
    "cgan": {"critic_pretraining": 0.3, "pretraining": 0.3},
    "regression": {},
}


@contextmanager
def poisoned(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> Iterator[None]:
    """Inside this context the photographs of the test split are noise."""
    tested = set(dataset.split("test").indices.tolist())
    read, image, draw = Dataset.read, Dataset.image, np.random.default_rng(0)

    def noise_for(index: int, picture: np.ndarray) -> np.ndarray:
        return draw.integers(0, 256, picture.shape, dtype=np.uint8) if index in tested else picture

    def read_noise(self: Dataset, indices: np.ndarray) -> np.ndarray:
        pictures = read(self, indices)
        return np.stack(
            [
                noise_for(int(index), picture)
                for index, picture in zip(indices, pictures, strict=True)
            ]
        )

    with monkeypatch.context() as patched:
        patched.setattr(Dataset, "read", read_noise)
        patched.setattr(Dataset, "image", lambda self, index: noise_for(index, image(self, index)))
        yield


def trained(home: Home, dataset: Dataset, name: str, study: str) -> Run:
    fields = {
        "variant": {"name": name, **VARIANTS[name]},
        "schedule": SCHEDULES[name],
        "dataset": dataset.name,
        "budget": {"amount": 60, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 2, "preview_images": 0},
    }
    run = train_run(home.store, dataset, parse(RunConfig, fields), Place(study, "run", {}))
    return home.store.run(run.id)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_a_network_and_its_validations_know_nothing_of_the_test_split(
    name: str, home: Any, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = Home(home)
    clean = trained(rooms, dataset, name, "clean")
    with poisoned(monkeypatch, dataset):
        noisy = trained(rooms, dataset, name, "noisy")
    # the poison was there
    assert clean.metrics["test/delta_e"] != noisy.metrics["test/delta_e"]
    before, after = (load_file(run.folder / GENERATOR) for run in (clean, noisy))
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    for metric in ("validation/delta_e", "train/reconstruction"):
        assert [item.value for item in clean.history(metric)] == [
            item.value for item in noisy.history(metric)
        ]


def test_the_baseline_of_the_mean_is_that_of_the_training_split(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    L = torch.zeros(1, 1, 4, 4)
    clean = baseline("mean", dataset)(L)
    with poisoned(monkeypatch, dataset):
        assert torch.equal(baseline("mean", dataset)(L), clean)

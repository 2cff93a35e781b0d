import numpy as np
import pytest
import torch

from analysis.evaluation import splits
from analysis.metrics import per_image
from common.colour import lab
from common.colour.metrics import MEASURED
from common.data.shards import Dataset


def test_table_and_samples_come_from_one_pass(dataset: Dataset) -> None:
    split = dataset.split("train")
    calls: list[int] = []

    def half(L: torch.Tensor) -> torch.Tensor:
        calls.append(len(L))
        return torch.cat([L / 4, -L / 4], dim=1)

    evaluated = splits.evaluate(half, split, samples=5)
    assert sum(calls) == len(split) == len(evaluated.table)
    truth = torch.from_numpy(split.centres(np.arange(len(split)))).permute(0, 3, 1, 2)
    L, ab = lab.to_network(truth)
    images = lab.to_photographs(L, torch.cat([L / 4, -L / 4], dim=1))
    expected = per_image.all_metrics(images, lab.to_photographs(L, ab))
    for name in MEASURED:
        assert evaluated.table[name].tolist() == pytest.approx(expected[name].tolist(), rel=1e-5), (
            name
        )
    places = split.spread(5)
    assert len(places) == 5 and np.array_equal(
        evaluated.samples, images[places].permute(0, 2, 3, 1).numpy()
    )
    assert evaluated.table["photograph"].tolist() == [entry.photograph for entry in split.entries()]
    assert set(evaluated.table["label"]) == {"field", "sea"}


def test_identical_photographs_do_not_make_a_mean_infinite(dataset: Dataset) -> None:
    split = dataset.split("test")
    evaluated = splits.evaluate(splits.grey, split)
    evaluated.table.loc[0, "psnr_rgb"] = np.inf  # what an identical photograph has
    assert evaluated.means()["psnr_rgb"] == pytest.approx(evaluated.table["psnr_rgb"][1:].mean())


def test_baselines(dataset: Dataset) -> None:
    train = dataset.split("train")
    _, ab = lab.to_network(
        torch.from_numpy(train.centres(np.arange(len(train)))).permute(0, 3, 1, 2)
    )
    mean = splits.mean_ab(train)
    assert mean.tolist() == pytest.approx(ab.mean(dim=(0, 2, 3)).tolist(), abs=1e-6)
    L = torch.zeros(3, 1, 4, 4)
    assert splits.grey(L).shape == (3, 2, 4, 4) and splits.grey(L).abs().max() == 0
    assert splits.constant(mean)(L)[2, :, 1, 3].tolist() == pytest.approx(mean.tolist())


def test_score_is_the_mean_over_a_spread(dataset: Dataset) -> None:
    split = dataset.split("validation")
    scores = splits.score(splits.grey, split, images=1000)
    table = splits.evaluate(splits.grey, split).table
    assert scores == pytest.approx({name: table[name].mean() for name in MEASURED}, rel=1e-5)

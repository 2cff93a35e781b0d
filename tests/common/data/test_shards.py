"""A prepared data set as it is read: positions, crops and splits."""

import numpy as np
import pytest

from common.data.manifest import SPLITS
from common.data.shards import Dataset


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10_000])
def test_a_spread_is_even_and_as_long_as_asked_for(count: int, dataset: Dataset) -> None:
    split = dataset.split("train")
    places = split.spread(count)
    assert len(places) == min(count, len(split)) and len(set(places.tolist())) == len(places)
    if count > 1:
        assert places[0] == 0 and places[-1] == len(split) - 1
        assert np.diff(places).max() - np.diff(places).min() <= 1
    assert np.array_equal(places, split.spread(count))


def test_centres_are_the_middle_of_what_is_stored(dataset: Dataset) -> None:
    split = dataset.split("validation")
    margin, size = dataset.config.margin, dataset.config.size
    stored = split.read(np.arange(len(split)))
    assert stored.shape[1:] == (size + margin, size + margin, 3)
    half = margin // 2
    assert np.array_equal(
        split.centres(np.arange(len(split))), stored[:, half : half + size, half : half + size]
    )
    assert np.array_equal(split.image(1), stored[1])
    photographs = split.photographs(np.array([1]))
    assert photographs.shape == (1, 3, size, size)
    assert np.array_equal(photographs[0].permute(1, 2, 0).numpy(), split.centres(np.array([1]))[0])


def test_every_image_is_in_one_split(dataset: Dataset) -> None:
    indices = np.concatenate([dataset.split(name).indices for name in SPLITS])
    assert sorted(indices.tolist()) == list(range(len(dataset.entries)))
    for name in SPLITS:
        assert {entry.split for entry in dataset.split(name).entries()} == {name}

from itertools import islice

import numpy as np
import pytest
import torch

from common.colour import lab
from common.data.batches import Batch, BatchConfig, Batches
from common.data.shards import Dataset
from common.errors import ColourbenchError

PLAIN = BatchConfig(size=4, flip=False, crop=False)


def take(batches: Batches, count: int) -> torch.Tensor:
    return torch.cat([torch.cat([batch.L, batch.ab], dim=1) for batch in islice(batches, count)])


def test_an_epoch_holds_every_image_once(dataset: Dataset) -> None:
    split = dataset.split("train")
    images = take(Batches(split, BatchConfig(size=len(split), flip=False, crop=False), seed=3), 1)
    expected = torch.cat(
        lab.to_network(torch.from_numpy(split.centres(np.arange(len(split)))).permute(0, 3, 1, 2)),
        dim=1,
    )
    drawn = {image.numpy().tobytes() for image in images}
    assert drawn == {image.numpy().tobytes() for image in expected}
    assert not torch.equal(images, expected)  # shuffled


def test_epochs_differ_and_seeds_differ(dataset: Dataset) -> None:
    n = len(dataset.split("train"))
    config = BatchConfig(size=n)
    two = Batches(dataset.split("train"), config, seed=0)
    assert not torch.equal(take(two, 1), take(two, 1))
    first, other = (take(Batches(dataset.split("train"), config, seed), 1) for seed in (0, 1))
    assert not torch.equal(first, other)


def test_the_same_images_whatever_the_batch_size(dataset: Dataset) -> None:
    small = take(Batches(dataset.split("train"), BatchConfig(size=2), seed=5), 12)
    large = take(Batches(dataset.split("train"), BatchConfig(size=8), seed=5), 3)
    assert torch.equal(small, large)


def test_resume_is_exact_in_the_middle_of_an_epoch(dataset: Dataset) -> None:
    whole, interrupted = (
        Batches(dataset.split("train"), BatchConfig(size=4), seed=1) for _ in range(2)
    )
    take(whole, 5), take(interrupted, 5)
    resumed = Batches(dataset.split("train"), BatchConfig(size=4), seed=1)
    resumed.load_state_dict(interrupted.state_dict())
    assert resumed.images == 20
    assert torch.equal(take(whole, 7), take(resumed, 7))


def test_ranks_share_each_batch(dataset: Dataset) -> None:
    together = take(Batches(dataset.split("train"), BatchConfig(size=4), seed=1), 1)
    ranks = [
        Batches(dataset.split("train"), BatchConfig(size=4), seed=1, rank=rank, ranks=2)
        for rank in (0, 1)
    ]
    assert torch.equal(together, torch.cat([take(rank, 1) for rank in ranks]))
    assert [rank.images for rank in ranks] == [4, 4]


def test_flips_and_crops_come_from_the_stored_square(dataset: Dataset) -> None:
    split = dataset.split("train")
    batch = next(Batches(split, BatchConfig(size=1), seed=2))
    rgb = lab.to_photographs(batch.L, batch.ab)[0].permute(1, 2, 0).numpy()
    stored = split.read(np.arange(len(split)))
    places = [
        (view.tobytes() == rgb.tobytes())
        for image in stored
        for y in range(5)
        for x in range(5)
        for view in (image[y : y + 32, x : x + 32], image[y : y + 32, x : x + 32][:, ::-1])
    ]
    assert sum(places) == 1


def test_labels_belong_to_their_images(dataset: Dataset) -> None:
    split = dataset.split("train")
    batch = next(Batches(split, BatchConfig(size=len(split), flip=False, crop=False), seed=0))
    by_pixels = {
        image.tobytes(): label
        for image, label in zip(split.centres(np.arange(len(split))), split.labels(), strict=True)
    }
    rgb = lab.to_photographs(batch.L, batch.ab).permute(0, 2, 3, 1).numpy()
    assert [by_pixels[image.tobytes()] for image in rgb] == batch.label.tolist()


def test_refusals(dataset: Dataset) -> None:
    with pytest.raises(ColourbenchError, match="does not divide among 3"):
        Batches(dataset.split("train"), PLAIN, seed=0, ranks=3)
    with pytest.raises(ColourbenchError, match="no images in this split"):
        Batches(dataset.split("nothing"), PLAIN, seed=0)
    with pytest.raises(ColourbenchError, match="seed"):
        Batches(dataset.split("train"), PLAIN, seed=0).load_state_dict({"seed": 1, "images": 0})


def test_smaller_shares_lie_inside_larger_ones(dataset: Dataset) -> None:
    split = dataset.split("train")

    def used(share: float, seed: int = 0) -> set[bytes]:
        config = BatchConfig(size=1, flip=False, crop=False, share=share)
        batches = Batches(split, config, seed)
        return {next(batches).L.numpy().tobytes() for _ in range(2 * len(split))}

    quarter, half, whole = used(0.25), used(0.5), used(1.0)
    assert quarter < half < whole and len(whole) == len(split)
    assert len(half) == round(0.5 * len(split))
    assert used(0.5, seed=1) != half


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_are_the_batch(count: int) -> None:
    batch = Batch(
        torch.rand(6, 1, 4, 4), torch.rand(6, 2, 4, 4), torch.arange(6), torch.rand(6, 3, 4, 4)
    )
    parts = batch.parts(count)
    assert [len(part) for part in parts] == [6 // count] * count
    for name in ("L", "ab", "label", "hints"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))

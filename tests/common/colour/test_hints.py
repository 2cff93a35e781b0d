import numpy as np
import pytest
import torch
from skimage import color

from common.colour import hints


def test_training_hints_are_true_means_of_patches_and_depend_on_the_image_alone() -> None:
    ab = torch.rand(64, 2, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    random = torch.linspace(0, 0.999, 64)
    given = hints.training_hints(ab, random)
    assert torch.equal(given[5:6], hints.training_hints(ab[5:6], random[5:6]))
    for image, own in zip(ab, given, strict=True):
        # nothing outside the mask
        assert torch.equal(own[:2] * (1 - own[2:]), torch.zeros(2, 32, 48))
        if 0 < own[2].mean() < 0.02:  # few enough points that patches hardly meet
            assert own[:2].abs().max() <= image.abs().max()
    single = hints.revealed(ab[:1], 1, [3])[0]
    rows, columns = np.nonzero(single[2].numpy())
    patch = ab[0, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert torch.allclose(single[:2, rows[0], columns[0]], patch.mean(dim=(1, 2)))


def test_their_number_is_geometric() -> None:
    """P(no hint) = 1/8, and half of the images have more than 4 points; 1 % reveal everything."""
    ab = torch.ones(1500, 2, 40, 40)
    share = hints.training_hints(ab, torch.rand(1500, generator=torch.Generator().manual_seed(1)))[
        :, 2
    ].mean(dim=(1, 2))
    assert abs(float((share == 0).float().mean()) - 1 / 8) < 0.03
    assert 0.002 < float((share == 1).float().mean()) < 0.03


def test_more_hints_contain_the_fewer() -> None:
    ab = torch.rand(2, 2, 64, 64)
    few, many = hints.revealed(ab, 5, [1, 2]), hints.revealed(ab, 20, [1, 2])
    assert bool((many[:, 2] >= few[:, 2]).all()) and many[:, 2].sum() > few[:, 2].sum()


def test_a_users_point_is_where_it_was_set() -> None:
    point = hints.from_rgb(0.25, 0.75, "#3050a0")
    expected = color.rgb2lab(np.array([[[0x30, 0x50, 0xA0]]], dtype=np.uint8))[0, 0, 1:] / 110
    assert np.allclose(point.ab, expected, atol=1e-4)
    given = hints.placed([point], 64, 128)[0]
    rows, columns = np.nonzero(given[2].numpy())
    assert (rows.mean(), columns.mean()) == (48, 32) and np.allclose(given[:2, 48, 32], point.ab)
    corner = hints.placed([hints.Hint(1.0, 1.0, (0.1, 0.2))], 64, 128)[0]
    assert corner[2, -1, -1] == 1


def test_a_generator_sees_what_it_can_take() -> None:
    L, given = torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8)
    assert hints.seen(L, None, 1) is L
    assert torch.equal(hints.seen(L, given, 4), torch.cat([L, given], dim=1))
    assert hints.seen(L, None, 4)[:, 1:].abs().sum() == 0
    with pytest.raises(ValueError, match="takes no hints"):
        hints.seen(L, given, 1)

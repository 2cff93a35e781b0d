from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage import color

from common.colour import film, lab
from common.colour.film import FilmConfig, Shot
from common.data.batches import BatchConfig, Batches
from common.data.shards import Dataset


def as_tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]


def test_the_eyes_own_weights_give_the_lightness_of_cie(
    make_photograph: Callable[..., np.ndarray],
) -> None:
    rgb = make_photograph(0)
    expected = color.rgb2lab(rgb)[..., 0] / 50 - 1
    assert np.allclose(film.expose(as_tensor(rgb), [Shot(None)])[0, 0], expected, atol=2e-3)


@pytest.mark.parametrize("name", list(film.FILMS))
def test_a_film_is_a_mix_of_linear_light_and_keeps_grey(
    name: str, make_photograph: Callable[..., np.ndarray]
) -> None:
    rgb, weights = make_photograph(1), np.array(film.FILMS[name])
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    linear = np.where(rgb / 255 > 0.04045, ((rgb / 255 + 0.055) / 1.055) ** 2.4, rgb / 255 / 12.92)
    Y = linear @ weights
    expected = np.where(Y > (6 / 29) ** 3, 116 * np.cbrt(Y) - 16, 903.3 * Y) / 50 - 1
    assert np.allclose(
        film.expose(as_tensor(rgb), [Shot(film.FILMS[name])])[0, 0], expected, atol=3e-3
    )
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.allclose(
        film.expose(as_tensor(grey), [Shot(film.FILMS[name])]),
        film.expose(as_tensor(grey), [Shot(None)]),
        atol=2e-3,
    )


def test_films_see_as_history_says() -> None:
    """A red dress is dark on orthochromatic film and a blue sky is white on blue-sensitive; behind a red filter the sky is dark."""
    red, blue = (
        as_tensor(np.array([[[200, 30, 30]]], np.uint8)),
        as_tensor(np.array([[[90, 140, 230]]], np.uint8)),
    )

    def lightness(rgb: torch.Tensor, name: str) -> float:
        return float(film.expose(rgb, [Shot(film.FILMS[name])]))

    assert lightness(red, "orthochromatic") < lightness(red, "panchromatic") - 0.4
    assert (
        lightness(blue, "blue_sensitive")
        > lightness(blue, "panchromatic")
        > lightness(blue, "red_filtered")
    )


def test_grain_and_fading_have_their_sizes() -> None:
    # L* 50, where grain is strongest
    grey = torch.full((1, 3, 128, 128), 119, dtype=torch.uint8)
    grainy = film.expose(grey, [Shot(None, grain=6.0, seed=3)])
    assert float(grainy.std()) * 50 == pytest.approx(6.0, rel=0.15)
    assert torch.equal(grainy, film.expose(grey, [Shot(None, grain=6.0, seed=3)]))
    assert not torch.equal(grainy, film.expose(grey, [Shot(None, grain=6.0, seed=4)]))
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    black, white = film.expose(ends, [Shot(None, fading=0.5)]).flatten().tolist()
    assert white - black == pytest.approx(1.0, abs=1e-3)  # half of the range from -1 to 1


def test_batches_on_film_keep_their_colours_and_every_image_its_shot(dataset: Dataset) -> None:
    worn = FilmConfig(films=("random", "orthochromatic"), grain=5, fading=0.4)
    plain, one = (
        next(Batches(dataset.split("train"), BatchConfig(size=4, film=f), 0))
        for f in (FilmConfig(), worn)
    )
    assert torch.equal(plain.ab, one.ab) and not torch.allclose(plain.L, one.L, atol=0.02)
    stream = Batches(dataset.split("train"), BatchConfig(size=2, film=worn), 0)
    halves = torch.cat([next(stream).L, next(stream).L])
    assert torch.equal(one.L, halves)  # whatever the batch size
    assert not torch.equal(
        one.L, next(Batches(dataset.split("train"), BatchConfig(size=4, film=worn), 1)).L
    )


def test_the_kernels_and_plain_torch_agree(make_photograph: Callable[..., np.ndarray]) -> None:
    rgb = as_tensor(make_photograph(2))
    weights = torch.tensor([lab.luminance_weights()])
    assert torch.allclose(lab.lightness(rgb, weights), lab.to_network(rgb)[0], atol=2e-3)

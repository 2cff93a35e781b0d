from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from skimage import color

from common.colour import lab
from common.colour.hints import from_rgb
from common.config import parse
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.use import prediction
from studies.use.prediction import Sight, pad_to_multiple
from variants.players.colouriser import Colouriser
from variants.regression import Regression, RegressionConfig


@pytest.fixture
def colouriser(engine: Engine) -> Colouriser:
    seed_everything(0)
    return Regression(
        parse(RegressionConfig, {"generator": {"network": {"base_width": 4}}}), engine, Domain(32)
    ).colourise


@pytest.mark.parametrize("size", [(32, 32), (33, 57), (100, 31), (200, 3), (1, 1), (480, 640)])
def test_any_size_comes_back_at_its_own_size(
    colouriser: Colouriser, size: tuple[int, int], make_photograph: Callable[..., np.ndarray]
) -> None:
    assert prediction.colour(colouriser, make_photograph(0, size), Sight()).shape == (*size, 3)


def test_lightness_is_the_photographs_own(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]
) -> None:
    photograph = np.stack([make_photograph(3, (90, 120))[..., 0] // 2 + 64] * 3, axis=-1)
    coloured = prediction.colour(colouriser, photograph, Sight())
    before, after = (color.rgb2lab(image)[..., 0] for image in (photograph, coloured))
    assert np.abs(before - after).max() < 1.0  # uint8 and the gamut allow a little


def test_a_grey_and_a_colour_copy_get_nearly_the_same_colours(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]
) -> None:
    photograph = make_photograph(1, (64, 64))
    L = color.rgb2lab(photograph)[..., 0]
    grey = np.clip(color.lab2rgb(np.stack([L, 0 * L, 0 * L], axis=-1)) * 255 + 0.5, 0, 255).astype(
        np.uint8
    )
    one, other = (
        prediction.colour(colouriser, image, Sight()).astype(int) for image in (photograph, grey)
    )
    assert np.abs(one - other).mean() < 1.5


def test_padding_reflects_even_beyond_the_image() -> None:

    padded = pad_to_multiple(torch.arange(6.0).view(1, 1, 2, 3), 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def hinted(engine: Engine) -> Colouriser:
    seed_everything(0)
    config = parse(RegressionConfig, {"generator": {"network": {"base_width": 4}, "hints": True}})
    return Regression(config, engine, Domain(32)).colourise


def test_strips_and_the_whole_are_the_same(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]
) -> None:
    photograph = make_photograph(4, (97, 61))
    ab = prediction.predict(colouriser, prediction.shrunk_lightness(photograph, (51, 32)), Sight())
    whole = prediction.join(photograph, ab, memory_gb=1.0)
    strips = prediction.join(photograph, ab, memory_gb=7 * 61 * prediction.JOINING / prediction.GB)
    assert np.array_equal(whole, strips)
    enlarged = torch.nn.functional.interpolate(ab, (97, 61), mode="bilinear", align_corners=False)
    L, _ = lab.to_network(torch.from_numpy(photograph).permute(2, 0, 1)[None])
    assert (
        np.abs(
            whole.astype(int) - lab.to_photographs(L, enlarged)[0].permute(1, 2, 0).numpy()
        ).max()
        <= 1
    )


def test_tiles_leave_no_seam() -> None:
    """Each tile is off by a constant of its own, the worst case: blending spreads the step over the overlap."""
    draw = np.random.default_rng(0)

    def predict(rows: slice, columns: slice) -> torch.Tensor:
        return torch.full(
            (1, 2, rows.stop - rows.start, columns.stop - columns.start), float(draw.normal())
        )

    ab = prediction.in_tiles(predict, 200, 300, 96, 32)[0]
    steps = max(float(ab.diff(dim=axis).abs().max()) for axis in (1, 2))
    assert ab.std() > 0.2 and steps < float(ab.max() - ab.min()) / 12
    edges = list(prediction.tile_edges(200, 300, 96, 32))
    assert len(edges) == 2 * (3 - 1) + 2 * (5 - 1) and all(
        0 < at < (200, 300)[axis] for axis, at in edges
    )


def test_tiles_of_one_colour_stay_that_colour() -> None:
    def one(rows: slice, columns: slice) -> torch.Tensor:
        return torch.full((2, 2, rows.stop - rows.start, columns.stop - columns.start), 0.25)

    assert torch.allclose(prediction.in_tiles(one, 101, 333, 64, 32, images=2), torch.tensor(0.25))


def test_a_panorama_is_seen_in_tiles_within_the_limit(
    colouriser: Colouriser,
    make_photograph: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, ...]] = []
    original = Colouriser._run

    def watched(self: Colouriser, test_time: Any, sight: torch.Tensor, label: Any) -> torch.Tensor:
        seen.append(tuple(sight.shape))
        return original(self, test_time, sight, label)

    monkeypatch.setattr(Colouriser, "_run", watched)
    limit = 5 * 32 * 32 * prediction._bytes_a_pixel(colouriser) / prediction.GB
    seen.clear()
    coloured = prediction.colour(colouriser, make_photograph(0, (40, 1600)), Sight(memory_gb=limit))
    assert coloured.shape == (40, 1600, 3)
    assert len(seen) > 5 and all(height * width <= 5 * 32 * 32 for _, _, height, width in seen)


def test_a_line_of_pixels_is_no_trap(vivid: Colouriser) -> None:
    line = np.full((1, 300_000, 3), 90, np.uint8)
    assert prediction.small_size(vivid, line, Sight()) == (32, prediction.MOST_SEEN // 32)
    assert prediction.small_size(vivid, line[:, :400], Sight()) == (32, 12_800)


def test_hints_reach_the_network_at_their_place(
    engine: Engine, make_photograph: Callable[..., np.ndarray]
) -> None:
    colouriser, photograph = hinted(engine), make_photograph(5, (64, 96))
    with torch.no_grad():
        for parameter in colouriser.network.parameters():
            parameter.mul_(3)
    plain = prediction.colour(colouriser, photograph, Sight())
    steered = prediction.colour(
        colouriser, photograph, Sight(hints=[from_rgb(0.5, 0.5, "#ff0000")])
    )
    assert np.array_equal(plain, prediction.colour(colouriser, photograph, Sight()))
    assert np.abs(plain.astype(int) - steered).max() > 0


def test_hints_need_a_generator_that_takes_them(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]
) -> None:
    with pytest.raises(ValueError, match="takes no hints"):
        prediction.colour(
            colouriser, make_photograph(0), Sight(hints=[from_rgb(0.5, 0.5, "#ff0000")])
        )


def test_a_generator_without_noise_gives_no_samples(engine: Engine) -> None:
    config = parse(RegressionConfig, {"generator": {"network": {"base_width": 4, "dropout": 0.0}}})
    with pytest.raises(ColourbenchError, match="no dropout"):
        Regression(config, engine, Domain(32)).colourise.sample(torch.zeros(1, 1, 32, 32))

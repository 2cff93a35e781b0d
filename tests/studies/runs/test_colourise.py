from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color

from common.config import parse
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.runs.colourise import colourise_files, colourise_photograph, pad_to_multiple, photographs_in
from variants.players.colouriser import Colouriser
from variants.regression import Regression, RegressionConfig


@pytest.fixture
def colouriser(engine: Engine) -> Colouriser:
    seed_everything(0)
    return Regression(parse(RegressionConfig, {"generator": {"network": {"base_width": 4}}}), engine, Domain(32)).colourise


@pytest.mark.parametrize("size", [(32, 32), (33, 57), (100, 31), (200, 3), (1, 1), (480, 640)])
def test_any_size_comes_back_at_its_own_size(
    colouriser: Colouriser, size: tuple[int, int], make_photograph: Callable[..., np.ndarray]
) -> None:
    assert colourise_photograph(colouriser, make_photograph(0, size)).shape == (*size, 3)


def test_lightness_is_the_photographs_own(colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]) -> None:
    photograph = np.stack([make_photograph(3, (90, 120))[..., 0] // 2 + 64] * 3, axis=-1)
    coloured = colourise_photograph(colouriser, photograph)
    before, after = (color.rgb2lab(image)[..., 0] for image in (photograph, coloured))
    assert np.abs(before - after).max() < 1.0  # uint8 and the gamut allow a little


def test_a_grey_and_a_colour_copy_get_nearly_the_same_colours(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray]
) -> None:
    photograph = make_photograph(1, (64, 64))
    L = color.rgb2lab(photograph)[..., 0]
    grey = np.clip(color.lab2rgb(np.stack([L, 0 * L, 0 * L], axis=-1)) * 255 + 0.5, 0, 255).astype(np.uint8)
    one, other = (colourise_photograph(colouriser, image).astype(int) for image in (photograph, grey))
    assert np.abs(one - other).mean() < 1.5


def test_padding_reflects_even_beyond_the_image() -> None:

    padded = pad_to_multiple(torch.arange(6.0).view(1, 1, 2, 3), 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_a_bad_file_does_not_stop_the_others(
    colouriser: Colouriser, tmp_path: Path, make_photograph: Callable[..., np.ndarray]
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/a.png"):
        Image.fromarray(make_photograph(2)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no")
    results = dict(colourise_files(colouriser, photographs_in([tmp_path / "in"]), tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-2.png", "a.png"]
    [error] = [result for result in results.values() if isinstance(result, ColourbenchError)]
    assert "broken.jpg: not a JPEG" in str(error)


def test_the_originals_are_never_overwritten(
    colouriser: Colouriser, tmp_path: Path, make_photograph: Callable[..., np.ndarray]
) -> None:
    Image.fromarray(make_photograph(2)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    list(colourise_files(colouriser, [tmp_path / "a.png"], tmp_path))
    assert (tmp_path / "a.png").read_bytes() == before and (tmp_path / "a-2.png").exists()


def test_missing_and_empty_places(tmp_path: Path) -> None:
    with pytest.raises(ColourbenchError, match="there is no file or folder"):
        photographs_in([tmp_path / "none"])
    with pytest.raises(ColourbenchError, match="hold no image files"):
        photographs_in([tmp_path])


def test_samples_are_versions_of_one_photograph(
    colouriser: Colouriser, make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    Image.fromarray(make_photograph(0, (40, 50))).save(tmp_path / "a.png")
    with torch.no_grad():
        for parameter in colouriser.network.parameters():
            parameter.mul_(3)  # freshly drawn weights colour so faintly that 8 bits show nothing
    results = [path for _, path in colourise_files(colouriser, [tmp_path / "a.png"], tmp_path / "out", samples=3)]
    assert [path.name for path in results if isinstance(path, Path)] == ["a-sample-1.png", "a-sample-2.png", "a-sample-3.png"]
    images = [np.asarray(Image.open(path)).astype(int) for path in results if isinstance(path, Path)]
    assert all(np.abs(images[0] - other).max() > 0 for other in images[1:])
    lightness = [color.rgb2lab(image.astype(np.uint8))[..., 0] for image in images]
    assert np.abs(lightness[0] - lightness[1]).max() < 1.5  # only the colours differ


def test_a_generator_without_noise_gives_no_samples(engine: Engine) -> None:
    config = parse(RegressionConfig, {"generator": {"network": {"base_width": 4, "dropout": 0.0}}})
    with pytest.raises(ColourbenchError, match="no dropout"):
        Regression(config, engine, Domain(32)).colourise.sample(torch.zeros(1, 1, 32, 32))

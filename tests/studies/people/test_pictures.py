"""What raters see: the right colours on the right side, and nothing beside the colours that tells anything."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from analysis.people.design import RANDOM, TESTS, TRUTH, Design, TestName, Trial
from common.system.integrity import Damaged
from studies.people.pictures import GAP, LARGEST, SMALLEST, Material, Pictures
from studies.people.study import RatingStudy


def shown(study: RatingStudy, trial: Trial) -> np.ndarray:
    with Image.open(io.BytesIO(study.pictures.png(trial))) as image:
        assert not image.info
        return np.asarray(image)


def enlarged(photograph: np.ndarray) -> np.ndarray:
    return np.asarray(
        Image.fromarray(photograph).resize((SMALLEST, SMALLEST), Image.Resampling.LANCZOS)
    )


def test_a_pair_shows_the_truth_on_the_side_of_the_key(
    make_study: Callable[..., RatingStudy], material: Material
) -> None:
    study = make_study(Design("pair", 1, 12))
    for trial in study.key.trials:
        picture, position = shown(study, trial), material.names.index(trial.image)
        halves = {"left": picture[:, :SMALLEST], "right": picture[:, -SMALLEST:]}
        assert (picture[:, SMALLEST : SMALLEST + GAP] == 255).all()
        assert np.array_equal(halves[trial.side], enlarged(material.truth[position]))
        other = halves["right" if trial.side == "left" else "left"]
        if trial.kind == "test":
            assert np.array_equal(
                other, enlarged(material.arms[trial.arm][trial.seed or 0][position])
            )
        else:
            assert not np.array_equal(other, enlarged(material.truth[position]))


def test_a_preference_shows_both_arms_and_their_seeds(
    make_study: Callable[..., RatingStudy], material: Material
) -> None:
    study = make_study(Design("preference", 2, 12))
    for trial in (t for t in study.key.trials if t.kind == "test"):
        picture, position = shown(study, trial), material.names.index(trial.image)
        halves = {"left": picture[:, :SMALLEST], "right": picture[:, -SMALLEST:]}
        assert np.array_equal(
            halves[trial.side], enlarged(material.arms[trial.arm][trial.seed or 0][position])
        )
        away = halves["right" if trial.side == "left" else "left"]
        assert np.array_equal(
            away, enlarged(material.arms[trial.other][trial.other_seed or 0][position])
        )


@pytest.mark.parametrize("test", TESTS)
def test_all_pictures_of_a_study_have_one_size_in_bytes(
    test: TestName, make_study: Callable[..., RatingStudy]
) -> None:
    study = make_study(Design(test, 2, 12))
    assert len({len(study.pictures.png(trial)) for trial in study.key.trials}) == 1


def test_random_colours_keep_the_lightness(
    make_study: Callable[..., RatingStudy], material: Material
) -> None:
    """The lightness of a vigilance picture is the photograph's own (scikit-image's Lab), its colours are not."""
    pictures = Pictures.of(material, 0)
    for image in material.names[:4]:
        made, real = (rgb2lab(pictures.version(image, arm, None)) for arm in (RANDOM, TRUTH))
        # colours outside sRGB are clipped, which moves L
        inside = np.abs(made[..., 0] - real[..., 0]) < 3
        assert inside.mean() > 0.6 and np.abs(made[..., 1:] - real[..., 1:]).mean() > 10


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), (256, 256)), ((300, 400), (300, 400)), ((1024, 512), (512, 256))],
)
def test_photographs_keep_their_own_size_between_the_limits(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    truth = np.zeros((1, *size, 3), np.uint8)
    pictures = Pictures.of(Material("s", ["a"], truth, {"cgan": {0: truth}}), 0)
    assert pictures.version("a", TRUTH, None).shape == (*expected, 3) and max(expected) <= LARGEST


def test_saved_pictures_are_the_same_and_damage_is_named(
    make_study: Callable[..., RatingStudy], material: Material
) -> None:
    study = make_study(Design("pair", 1, 12))
    fresh = Pictures.of(material, 0)
    assert all(study.pictures.png(trial) == fresh.png(trial) for trial in study.key.trials)
    path = study.folder / "pictures.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=r"pictures\.npz"):
        _ = RatingStudy(study.folder).pictures

"""The model that comes with the suite: small, whole, documented, and used where no model is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
from PIL import Image
from skimage.color import rgb2lab

from common.errors import ColourbenchError
from common.system.names import STARTER
from studies.commands.use import _model_and_photographs
from studies.home import Home
from studies.use import files
from studies.use.models import OLD_PHOTOGRAPH, STARTER_FILE, file_of, open_model
from studies.use.prediction import Sight


def test_it_is_small_and_says_what_it_is() -> None:
    assert STARTER_FILE.stat().st_size < 10 * 2**20
    with safetensors.safe_open(STARTER_FILE, "pt") as file:
        about = file.metadata()
        weights = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert {str(weight.dtype) for weight in weights} == {"torch.float16", "torch.int64"}
    settings = json.loads(about["config"])
    assert (
        settings["variant"]["generator"]["hints"]
        and settings["variant"]["generator"]["network"]["backbone_weights"] == "lite0"
    )
    card = STARTER_FILE.with_name("README.md").read_text()
    for needed in ("Tiny ImageNet", "research", "worse than grey", "300,000 images", "colour"):
        assert needed in card, needed


def test_it_colours_an_old_photograph_without_further_packages(tmp_path: Path) -> None:
    model = open_model(Home(tmp_path / "home"), STARTER, "cpu")
    assert model.name == "starter" and model.colouriser.takes_hints
    jobs = files.jobs_in([OLD_PHOTOGRAPH], tmp_path)
    (outcome,) = files.colourise_photographs(
        model.colouriser, jobs, Sight(), files.Output(tmp_path)
    )
    with Image.open(outcome.written[0]) as coloured, Image.open(OLD_PHOTOGRAPH) as grey:
        assert coloured.size == grey.size
        lab = rgb2lab(np.asarray(coloured.convert("RGB")))
        L = rgb2lab(np.asarray(grey.convert("RGB")))[..., 0]
    assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 5  # colour, and not one tone
    assert lab[..., 1].std() > 2 and lab[..., 2].std() > 2
    assert np.abs(lab[..., 0] - L).mean() < 1.5


def test_it_can_be_fine_tuned(tmp_path: Path) -> None:
    file = file_of(Home(tmp_path / "home"), STARTER)
    assert file.config.variant.name == "cgan" and file.generator


def test_a_photograph_in_the_first_place_means_that_no_model_is_named(tmp_path: Path) -> None:
    photograph = tmp_path / "a.jpg"
    photograph.touch()
    other = tmp_path / "b.jpg"
    assert _model_and_photographs(str(photograph), [other]) == (STARTER, [photograph, other])
    assert _model_and_photographs(str(tmp_path), []) == (STARTER, [tmp_path])
    assert _model_and_photographs("variants/cgan", [photograph]) == ("variants/cgan", [photograph])
    with pytest.raises(
        ColourbenchError,
        match=r"name the photographs to colour; there is no file or folder variants/cgan",
    ):
        _model_and_photographs("variants/cgan", [])

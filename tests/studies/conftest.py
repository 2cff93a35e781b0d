"""A small human study of invented photographs, and a small generator whose colours show."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.people.design import Design
from common.config import parse
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.people.pictures import Material
from studies.people.sheets import handout
from studies.people.study import RatingStudy
from variants.players.colouriser import Colouriser
from variants.regression import Regression, RegressionConfig

ARMS = {"cgan": [0, 1, 2], "egan": [0, 1, 2], "wgan_gp": [5, 6]}  # with their seeds
IMAGES = [f"{number:02d}.png#0" for number in range(30)]


@pytest.fixture
def material(make_photograph: Callable[..., np.ndarray]) -> Material:
    truth = np.stack([make_photograph(seed, (32, 32)) for seed in range(12)])
    arms = {
        arm: {seed: truth // (k + 2) + seed for seed in seeds}
        for k, (arm, seeds) in enumerate(ARMS.items())
    }
    return Material("study", IMAGES[:12], truth, arms)


@pytest.fixture
def make_study(material: Material, tmp_path: Path) -> Callable[..., RatingStudy]:
    """Makes a study with sheets, or without them for the page."""

    def make(design: Design, folder: str = "ratings", sheets: bool = True) -> RatingStudy:
        return RatingStudy.create(
            material, design, tmp_path / folder, handout.write if sheets else None
        )

    return make


@pytest.fixture
def vivid(engine: Engine) -> Colouriser:
    """Trained on 32 pixels, without labels; freshly drawn weights colour so faintly that 8 bits show nothing, so they are tripled."""
    seed_everything(0)
    colouriser = Regression(
        parse(RegressionConfig, {"generator": {"network": {"base_width": 4}}}), engine, Domain(32)
    ).colourise
    with torch.no_grad():
        for parameter in colouriser.network.parameters():
            parameter.mul_(3)
    return colouriser

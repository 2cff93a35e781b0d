"""A small study of invented photographs, and simulated people."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.ratings.design import Design
from analysis.ratings.pictures import Material
from analysis.ratings.sheets import handout
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy

PUBLISHED = Path(os.environ.get("COLOURBENCH_RATINGS", Path(__file__).resolve().parents[4] / "shared" / "ratings"))
ARMS = {"cgan": [0, 1, 2], "egan": [0, 1, 2], "wgan_gp": [5, 6]}  # with their seeds
IMAGES = [f"{number:02d}.png#0" for number in range(30)]
COLUMNS = ["rater", "kind", "image", "arm", "side", "response"]


@pytest.fixture
def material(make_photograph: Callable[..., np.ndarray]) -> Material:
    truth = np.stack([make_photograph(seed, (32, 32)) for seed in range(12)])
    arms = {arm: {seed: truth // (k + 2) + seed for seed in seeds} for k, (arm, seeds) in enumerate(ARMS.items())}
    return Material("study", IMAGES[:12], truth, arms)


@pytest.fixture
def make_study(material: Material, tmp_path: Path) -> Callable[..., RatingStudy]:
    """Makes a study with sheets, or without them for the page."""

    def make(design: Design, folder: str = "ratings", sheets: bool = True) -> RatingStudy:
        return RatingStudy.create(material, design, tmp_path / folder, handout.write if sheets else None)

    return make


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(f"sqlite:///{tmp_path / 'responses.db'}")


def simulated(
    draw: np.random.Generator, raters: int, images: int, trials: int, effect: float = 0.0, arms: int = 2, seeds: int = 1
) -> pd.DataFrame:
    """A pair test in which raters, photographs and an arm's seeds differ, and photographs differ in how each arm suits them."""
    rater_skill, image_ease = draw.normal(scale=0.6, size=raters), draw.normal(scale=0.6, size=images)
    likes, luck = draw.normal(scale=0.7, size=(images, arms)), draw.normal(scale=0.4 if seeds > 1 else 0.0, size=(arms, seeds))
    rows = []
    for rater in range(raters):
        for image in draw.permutation(images)[:trials]:
            turn, arm = divmod(int(image) + rater, arms)
            seed = turn % seeds
            logit = -0.8 + rater_skill[rater] + image_ease[image] + likes[image, arm] + luck[arm, seed] + effect * arm
            fooled = draw.random() < 1 / (1 + np.exp(-logit))
            rows.append((f"r{rater}", "test", f"i{image}", f"arm{arm}", "left", "right" if fooled else "left", seed))
    return pd.DataFrame(rows, columns=[*COLUMNS, "seed"])


@pytest.fixture
def simulate() -> Callable[..., pd.DataFrame]:
    return simulated


@pytest.fixture(scope="session")
def published() -> Path:
    """A folder of published ratings, where there is one: hecd/, p913/, pwcmp/."""
    if not PUBLISHED.is_dir():
        pytest.skip("no folder of published ratings: set COLOURBENCH_RATINGS to one")
    return PUBLISHED

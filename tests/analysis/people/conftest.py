"""Simulated people."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

COLUMNS = ["rater", "kind", "image", "arm", "side", "response"]


def simulated(
    draw: np.random.Generator,
    raters: int,
    images: int,
    trials: int,
    effect: float = 0.0,
    arms: int = 2,
    seeds: int = 1,
) -> pd.DataFrame:
    """A pair test in which raters, photographs and an arm's seeds differ, and photographs differ in how each arm suits them."""
    rater_skill, image_ease = (
        draw.normal(scale=0.6, size=raters),
        draw.normal(scale=0.6, size=images),
    )
    likes, luck = (
        draw.normal(scale=0.7, size=(images, arms)),
        draw.normal(scale=0.4 if seeds > 1 else 0.0, size=(arms, seeds)),
    )
    rows = []
    for rater in range(raters):
        for image in draw.permutation(images)[:trials]:
            turn, arm = divmod(int(image) + rater, arms)
            seed = turn % seeds
            logit = (
                -0.8
                + rater_skill[rater]
                + image_ease[image]
                + likes[image, arm]
                + luck[arm, seed]
                + effect * arm
            )
            fooled = draw.random() < 1 / (1 + np.exp(-logit))
            rows.append(
                (
                    f"r{rater}",
                    "test",
                    f"i{image}",
                    f"arm{arm}",
                    "left",
                    "right" if fooled else "left",
                    seed,
                )
            )
    return pd.DataFrame(rows, columns=[*COLUMNS, "seed"])


@pytest.fixture
def simulate() -> Callable[..., pd.DataFrame]:
    return simulated

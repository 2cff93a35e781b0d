"""Pictures scored elsewhere: a published study's correlations, and invented scores whose source is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.people import judged_images
from common.errors import ColourbenchError
from studies.people import imports

HECD = {"reference": "Ground Truth File", "image": "Recolour File", "score": "Mean zScore"}


def invented(scenes: int, pictures: int, noise: float) -> pd.DataFrame:
    """Scores that are the sum of two metrics, and metrics that say nothing."""
    draw = np.random.default_rng(0)
    rows = []
    for scene in range(scenes):
        for picture in range(pictures):
            ssim, delta_e, chroma = draw.normal(size=3)
            score = ssim - delta_e + noise * draw.normal()
            rows.append(
                (
                    f"s{scene}",
                    f"s{scene}-{picture}",
                    score,
                    0.8 + 0.1 * ssim,
                    12 + 3 * delta_e,
                    20 + chroma,
                )
            )
    return pd.DataFrame(rows, columns=["reference", "image", "score", "ssim", "delta_e", "chroma"])


def test_a_combination_agrees_better_where_two_metrics_each_know_a_half() -> None:
    compared = judged_images.compared(
        invented(8, 40, 0.3), ["ssim", "delta_e", "chroma"]
    ).set_index("metric")
    assert compared.index[0] == judged_images.COMBINED and compared.index[-1] == "chroma"
    best = compared.loc[judged_images.COMBINED].to_dict()
    assert (
        best["spearman"] > 0.9
        and compared.loc["ssim"].to_dict()["gain_low"] > 0.1
        and compared.loc["delta_e"].to_dict()["gain_low"] > 0.1
    )


def test_the_held_out_scene_has_no_part_in_its_own_weights() -> None:
    """Scores of one scene turned around change the other scenes' combinations, and not its own."""
    table = invented(4, 30, 0.3)
    first = judged_images.combine(table, ["ssim", "delta_e"])
    held = (table["reference"] == "s0").to_numpy()
    turned = table.assign(score=np.where(held, -table["score"], table["score"]))
    again = judged_images.combine(turned, ["ssim", "delta_e"])
    assert np.allclose(again[held], first[held]) and not np.allclose(again[~held], first[~held])


def test_two_scenes_are_too_few() -> None:
    with pytest.raises(ColourbenchError, match="three scenes"):
        judged_images.combine(invented(2, 10, 0.1), ["ssim"])


def test_pictures_that_are_missing_or_of_another_size_are_named(tmp_path: Path) -> None:
    for name, size in (("a.png", (40, 40)), ("b.png", (40, 32))):
        Image.new("RGB", size).save(tmp_path / name)
    table = pd.DataFrame({"reference": ["a.png"], "image": ["b.png"], "score": [1.0]})
    with pytest.raises(ColourbenchError, match="differ in size"):
        judged_images.measure(table, tmp_path)
    with pytest.raises(ColourbenchError, match=r"there is no image .*c\.png"):
        judged_images.measure(table.assign(image="c.png"), tmp_path)


@pytest.mark.integration
def test_the_published_correlations_of_hecd(published: Path) -> None:
    """The authors' MSE over a*b* ranks pictures as our PSNR over ab does, with the sign turned, to the last digit they print."""
    table = imports.read_scores(published / "hecd" / "mean_zscores.csv", HECD)
    measured = judged_images.measure(table, published / "hecd" / "images")
    correlations = judged_images.by_scene(measured, ["psnr_ab", "ssim"]).set_index(
        ["scene", "metric"]
    )
    for statistic, letter in (("spearman", "r"), ("kendall", "tau")):
        theirs = pd.read_csv(published / "hecd" / f"published_{statistic}.csv").set_index(
            "GT FileName"
        )
        for scene in theirs.index:
            ours = correlations.loc[(scene, "psnr_ab")].to_dict()[statistic]
            assert -ours == pytest.approx(
                theirs.loc[scene].to_dict()[f"MSE-{letter} (a*b*)"], abs=0.0021
            )
            assert correlations.loc[(scene, "ssim")].to_dict()[statistic] == pytest.approx(
                theirs.loc[scene].to_dict()[f"SSIM-{letter} (bgr)"], abs=0.11
            )

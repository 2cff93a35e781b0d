"""Opinion scores: published values of ITU-T P.913 and ITU-R BT.500, and invented raters whose bias is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.people.opinion import bt500_rejects, p913


def test_p913_finds_the_quality_bias_and_noise_that_made_the_scores() -> None:
    draw = np.random.default_rng(0)
    quality, bias, noise = (
        draw.uniform(1, 5, 300),
        draw.normal(0, 0.5, 20),
        draw.uniform(0.5, 1.2, 20),
    )
    bias -= bias.mean()
    scores = quality[:, None] + bias + noise * draw.normal(size=(300, 20))
    scores[draw.random(scores.shape) < 0.3] = np.nan
    fitted = p913(scores)
    assert fitted.bias == pytest.approx(bias, abs=0.25) and fitted.inconsistency == pytest.approx(
        noise, rel=0.2
    )
    plain = np.nanmean(scores, axis=1)
    # better than the plain mean
    assert np.abs(fitted.mos - quality).mean() < 0.95 * np.abs(plain - quality).mean()
    inside = np.abs(fitted.mos - quality) < 1.96 * fitted.mos_error
    assert 0.88 < inside.mean() < 0.99


def test_p913_published_values(published: Path) -> None:
    small = p913(np.genfromtxt(published / "p913" / "small_sample_data.csv", delimiter=","))
    assert small.mos[0] == pytest.approx(4.824888, abs=1e-6) and small.mos.sum() == pytest.approx(
        111.822671, abs=1e-5
    )
    assert small.bias[0] == pytest.approx(-0.360756, abs=1e-6) and small.inconsistency[
        0
    ] == pytest.approx(2.049628, abs=1e-6)
    large = np.genfromtxt(published / "p913" / "sample_data.csv", delimiter=",")
    assert p913(large).mos.sum() == pytest.approx(279.998343, abs=1e-5)
    assert bt500_rejects(pd.DataFrame(large)) == {0, 1}


def test_bt500_screens_who_answers_at_random() -> None:
    draw = np.random.default_rng(1)
    quality = draw.uniform(1.5, 4.5, 80)
    good = np.clip(np.round(quality[:, None] + draw.normal(0, 0.4, (80, 20))), 1, 5)
    random = np.tile([1.0, 5.0], 40)[:, None]
    scores = pd.DataFrame(np.hstack([good, random]), columns=[f"r{k}" for k in range(21)])
    assert bt500_rejects(scores) == {"r20"}
    assert bt500_rejects(pd.DataFrame(np.full((10, 5), 3.0))) == set()


def test_one_raters_scores_never_become_the_quality_itself() -> None:
    """A rater without any noise of its own weighs more than others, and not infinitely more: the likelihood alone would allow it."""
    draw = np.random.default_rng(5)
    quality = draw.uniform(1, 5, 200)
    scores = quality[:, None] + draw.normal(0, 0.5, (200, 20))
    scores[:, 0] = quality
    fitted = p913(scores)
    away = float(
        np.sqrt(np.mean((fitted.mos - fitted.mos.mean() - (quality - quality.mean())) ** 2))
    )
    # 0.065 here; 0.11 if all weighed alike, and 0 without a floor
    assert 0.02 < away < 0.09

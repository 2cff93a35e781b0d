"""Distances between sets of features against float64 references; the features are random, for the mathematics knows no weights."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from analysis.metrics import distances


def features(n: int = 40, size: int = 6, shift: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    truth = torch.randn(n, size, generator=draw)
    return truth * 1.2 + shift + 0.3 * torch.randn(n, size, generator=draw), truth


@pytest.mark.parametrize("size", [6, 60])  # fewer and more than the rows
def test_fid_is_scipys_frechet_distance(size: int) -> None:
    coloured, truth = (x.double().numpy() for x in features(size=size))
    covariances = [np.cov(x, rowvar=False) for x in (coloured, truth)]
    roots = np.sqrt(np.clip(linalg.eigvals(covariances[0] @ covariances[1]).real, 0, None))
    means = ((coloured.mean(axis=0) - truth.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()
    assert distances.frechet_distance(*features(size=size)) == pytest.approx(expected, rel=1e-6)
    assert distances.frechet_distance(features()[1], features()[1]) == pytest.approx(0, abs=1e-6)


def naive_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, lemma 6, pair by pair: rows of one number are one photograph, and make no pair."""
    n, d = x.shape

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b) / d + 1) ** 3

    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return float(
        np.mean([k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs])
    )


def test_kid_and_its_jackknife_are_the_naive_ones() -> None:
    coloured, truth = (x.double().numpy() for x in features(n=15))
    value, error = distances.kernel_distance(*features(n=15))
    assert value == pytest.approx(naive_kid(coloured, truth), rel=1e-6)
    left_out = [
        naive_kid(np.delete(coloured, i, axis=0), np.delete(truth, i, axis=0)) for i in range(15)
    ]
    assert error == pytest.approx(math.sqrt(14 * np.var(left_out)), rel=1e-6)


def test_the_jackknife_leaves_out_photographs_with_all_their_tiles() -> None:
    coloured, truth = (x.double().numpy() for x in features(n=15))
    names = [f"photograph {number // 3}" for number in range(15)]
    _, error = distances.kernel_distance(*features(n=15), names)
    tiles = [np.arange(3 * number, 3 * number + 3) for number in range(5)]
    left_out = [
        naive_kid(np.delete(coloured, rows, axis=0), np.delete(truth, rows, axis=0))
        for rows in tiles
    ]
    assert error == pytest.approx(math.sqrt(4 * np.var(left_out)), rel=1e-6)


@pytest.mark.parametrize("n", [16, 128])
def test_identical_sets_have_a_kid_of_zero(n: int) -> None:
    truth = features(n=n)[1]
    assert distances.kernel_distance(truth, truth) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_kid_agrees_with_torchmetrics_on_independent_sets() -> None:
    """Its estimate keeps the diagonal, which between independent sets is a pair like any other."""
    from torchmetrics.image.kid import poly_mmd

    ours, theirs = [], []
    for seed in range(40):
        draw = torch.Generator().manual_seed(seed)
        one, other = (
            torch.randn(100, 8, generator=draw, dtype=torch.float64),
            1.2 * torch.randn(100, 8, generator=draw).double(),
        )
        ours.append(distances.kernel_distance(one, other)[0])
        theirs.append(float(poly_mmd(one, other)))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.02) and np.mean(ours) > 0.05
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def test_kid_of_one_distribution_is_about_zero_and_its_interval_covers() -> None:
    covered = []
    for seed in range(200):
        draw = torch.Generator().manual_seed(seed)
        one, other = torch.randn(60, 4, generator=draw), torch.randn(60, 4, generator=draw)
        figures = distances.set_figures(one, other, [str(number) for number in range(60)])
        half = float(stats.t.ppf(0.975, 59)) * figures.kernel_error
        covered.append(abs(figures.kernel) <= half)
    # MMD² at 0 is skewed: an interval by the normal law is only about right
    assert 0.88 <= np.mean(covered) <= 1.0


def test_few_photographs_have_no_figures() -> None:
    assert math.isnan(distances.set_figures(*features(n=3), ["a", "b", "c"]).frechet)
    assert math.isnan(distances.set_figures(*features(n=9), ["a", "b", "c"] * 3).frechet)


def test_the_frechet_error_is_a_jackknife_over_groups_of_photographs() -> None:
    coloured, truth = features(n=30)
    names = [f"photograph {number // 2}" for number in range(30)]  # two tiles of each of 15
    figures = distances.set_figures(coloured, truth, names)
    groups = [[row for row in range(30) if (row // 2) % 10 != group] for group in range(10)]
    left_out = [distances.frechet_distance(coloured[rows], truth[rows]) for rows in groups]
    assert figures.frechet_error == pytest.approx(math.sqrt(9 * np.var(left_out)), rel=1e-6)


def test_the_frechet_error_is_the_spread_over_samples() -> None:
    """Its square, averaged, against the variance over many samples of one population."""
    values, errors = [], []
    for seed in range(60):
        draw = torch.Generator().manual_seed(seed)
        truth = torch.randn(200, 4, generator=draw)
        coloured = 0.7 * truth + 0.4 + 0.3 * torch.randn(200, 4, generator=draw)
        figures = distances.set_figures(coloured, truth, [str(number) for number in range(200)])
        values.append(figures.frechet)
        errors.append(figures.frechet_error)
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values, ddof=1), rel=0.3)


def test_over_seeds() -> None:
    mean, half = distances.over_seeds([1.0, 2.0, 4.0], [0.3, 0.4, 0.5])
    assert mean == pytest.approx(7 / 3)
    variance = np.var([1, 2, 4], ddof=1) / 3 + np.mean([0.09, 0.16, 0.25])
    assert half == pytest.approx(float(stats.t.ppf(0.975, 2)) * math.sqrt(variance))
    assert distances.over_seeds([1.0], [0.5]) == pytest.approx((1.0, 1.96 * 0.5), rel=1e-3)

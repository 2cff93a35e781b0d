"""Arm means adjusted for raters and photographs, against simple means and against a regression with dummies."""

import numpy as np
import pandas as pd
import pytest

from analysis.people.clustered import Clusters, fit


def answered(raters: int, images: int, arms: tuple[str, ...], share: float = 1.0) -> pd.DataFrame:
    """Every rater judges a random share of the photographs in every arm; strict raters and easy photographs shift the values."""
    draw = np.random.default_rng(0)
    strict, easy = draw.normal(0, 1, raters), draw.normal(0, 1, images)
    rows = [
        {
            "rater": f"r{r}",
            "image": f"i{i}",
            "arm": arm,
            "value": 3 + k + strict[r] + easy[i] + draw.normal(0, 0.1),
        }
        for r in range(raters)
        for i in range(images)
        for k, arm in enumerate(arms)
        if draw.random() < share
    ]
    return pd.DataFrame(rows)


def test_in_a_whole_design_the_means_are_the_simple_ones() -> None:
    table = answered(5, 7, ("a", "b"))
    fitted = fit(table, ["a", "b"], effects=True)
    assert fitted.means.tolist() == pytest.approx(table.groupby("arm")["value"].mean().tolist())


def test_in_a_design_with_gaps_a_difference_is_that_of_a_regression_with_dummies() -> None:
    table = answered(6, 9, ("a", "b", "c"), share=0.5)
    fitted = fit(table, ["a", "b", "c"], effects=True)
    dummies = pd.get_dummies(table[["arm", "rater", "image"]], drop_first=True, dtype=float)
    X = np.column_stack([np.ones(len(table)), dummies.to_numpy()])
    coefficients = np.linalg.lstsq(X, table["value"].to_numpy(), rcond=None)[0]
    by_name = dict(zip(["one", *dummies.columns], coefficients, strict=True))
    assert fitted.means[1] - fitted.means[0] == pytest.approx(by_name["arm_b"])
    assert fitted.means[2] - fitted.means[0] == pytest.approx(by_name["arm_c"])


def test_an_arms_mean_is_over_all_raters_and_photographs_alike() -> None:
    """However many answers each gave: the effects of raters, and those of photographs, sum to zero."""
    table = answered(6, 9, ("a", "b"), share=0.5)
    fitted = fit(table, ["a", "b"], effects=True)
    dummies = pd.get_dummies(table[["arm", "rater", "image"]], drop_first=True, dtype=float)
    X = np.column_stack([np.ones(len(table)), dummies.to_numpy()])
    coefficients = dict(
        zip(
            ["one", *dummies.columns],
            np.linalg.lstsq(X, table["value"].to_numpy(), rcond=None)[0],
            strict=True,
        )
    )
    raters = np.mean([coefficients.get(f"rater_r{r}", 0.0) for r in range(6)])
    images = np.mean([coefficients.get(f"image_i{i}", 0.0) for i in range(9)])
    assert fitted.means[0] == pytest.approx(coefficients["one"] + raters + images)


def test_the_error_is_that_of_three_ways_of_clustering() -> None:
    """Cameron, Gelbach & Miller 2011, eq. 2.13: each union of ways is added or taken away by its number of ways."""
    draw = np.random.default_rng(2)
    n = 600
    raters, images, seeds = (draw.integers(0, count, n) for count in (12, 15, 6))
    effects = (
        draw.normal(0, 1, 12)[raters]
        + draw.normal(0, 1, 15)[images]
        + draw.normal(0, 1.0, 6)[seeds]
        + draw.normal(0, 1, n)
    )
    influence = effects / n
    got, _ = Clusters(raters, images, [(np.ones(n, bool), seeds)]).error(influence)

    def variance(*ways: np.ndarray, unbiased: bool = False) -> float:
        sums = pd.Series(influence).groupby(list(ways)).sum()
        return float((sums**2).sum()) * (len(sums) / (len(sums) - 1) if unbiased else 1)

    both = variance(raters, images, unbiased=True)
    added = (
        variance(seeds, unbiased=True)
        - variance(raters, seeds)
        - variance(images, seeds)
        + variance(raters, images, seeds)
    )
    expected = variance(raters, unbiased=True) + variance(images, unbiased=True) - both + added
    assert got == pytest.approx(np.sqrt(expected), rel=1e-6)

"""The tests over photographs alone against naive versions."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import fixed_runs


def test_the_bootstrap_equals_a_naive_one_also_where_photographs_are_missing() -> None:
    draw = np.random.default_rng(0)
    d = draw.normal(size=(12, 2))
    d[3, 1] = np.nan
    low, high = fixed_runs.interval(d, 8000, seed=1)
    naive = np.percentile(
        [np.nanmean(d[draw.integers(0, 12, 12)], axis=0) for _ in range(8000)], [2.5, 97.5], axis=0
    )
    assert np.stack([low, high]) == pytest.approx(naive, abs=0.06)


def test_sign_flips_equal_enumeration() -> None:
    x = np.random.default_rng(3).normal(0.4, 1, size=(9, 1))
    extreme = [
        abs(np.dot(signs, x[:, 0])) >= abs(x.sum()) - 1e-12
        for signs in itertools.product([-1, 1], repeat=9)
    ]
    assert fixed_runs.p_value(x)[0] == pytest.approx(np.mean(extreme))


@pytest.mark.parametrize("count", [fixed_runs.FEW, fixed_runs.FEW + 1])
def test_few_and_many_photographs_say_the_same(count: int) -> None:
    d = np.random.default_rng(4).normal(0.2, 1, size=(count, 3))
    expected = [stats.ttest_1samp(column, 0) for column in d.T]
    assert fixed_runs.p_value(d) == pytest.approx([test.pvalue for test in expected], abs=0.015)
    low, high = fixed_runs.interval(d)
    assert low == pytest.approx([test.confidence_interval().low for test in expected], abs=0.03)
    assert high == pytest.approx([test.confidence_interval().high for test in expected], abs=0.03)


def test_false_positives_stay_at_five_per_cent() -> None:
    draw = np.random.default_rng(11)
    for count in (12, fixed_runs.FEW + 20):
        assert 0.02 <= np.mean(fixed_runs.p_value(draw.normal(size=(count, 600))) < 0.05) <= 0.08


def test_what_cannot_be_known_is_not_claimed() -> None:
    one = fixed_runs.test(np.array([[3.0, 4.0]]))
    assert np.isnan(one.low).all() and (one.p == 1).all()
    empty = fixed_runs.test(np.array([[1.0, np.nan], [2.0, np.nan], [1.5, np.nan]]))
    assert np.isnan(empty.low[1]) and empty.p[1] == 1 and np.isfinite(empty.low[0])
    assert fixed_runs.test(np.zeros((150, 1))).p[0] == 1

"""The tests over photographs alone against naive versions and scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis import these_runs


def test_bootstrap_equals_a_naive_one_also_where_photographs_are_missing() -> None:
    draw = np.random.default_rng(0)
    d = draw.normal(size=(12, 2))
    d[3, 1] = np.nan
    found = these_runs.bootstrap_means(d, 4000, seed=1)
    naive = np.array([np.nanmean(d[draw.integers(0, 12, 12)], axis=0) for _ in range(4000)])
    assert found.mean(axis=0) == pytest.approx(naive.mean(axis=0), abs=0.02)
    assert found.std(axis=0) == pytest.approx(naive.std(axis=0), rel=0.06)


def test_sign_flip_equals_enumeration_and_scipy() -> None:
    x = np.random.default_rng(3).normal(0.4, 1, size=(9, 1))
    extreme = [abs(np.dot(signs, x[:, 0])) >= abs(x.sum()) - 1e-12 for signs in itertools.product([-1, 1], repeat=9)]
    assert these_runs.sign_flip(x)[0] == pytest.approx(np.mean(extreme))
    many = np.random.default_rng(4).normal(0.3, 1, size=(60, 2))
    expected = [stats.ttest_1samp(column, 0).pvalue for column in many.T]
    assert these_runs.sign_flip(many) == pytest.approx(expected, abs=0.015)


def test_false_positives_stay_at_five_per_cent() -> None:
    draw = np.random.default_rng(11)
    p = these_runs.sign_flip(draw.normal(size=(12, 600)))
    assert 0.02 <= np.mean(p < 0.05) <= 0.08


def test_what_cannot_be_known_is_not_claimed() -> None:
    one = these_runs.judge(np.array([[3.0, 4.0]]))
    assert np.isnan(one.low).all() and (one.p == 1).all()
    empty = these_runs.judge(np.array([[1.0, np.nan], [2.0, np.nan], [1.5, np.nan]]))
    assert np.isnan(empty.low[1]) and empty.p[1] == 1 and np.isfinite(empty.low[0])

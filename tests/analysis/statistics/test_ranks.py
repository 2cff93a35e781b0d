"""Ranks against Demšar's own figures (2006, section 3.2 and table 5) and scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.ranks import critical_difference, from_average, ranks


def test_demsars_example() -> None:
    ranking = from_average(
        pd.Series({"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}), 14
    )
    assert [ranking.chi_squared, ranking.F] == pytest.approx([9.28, 3.69], abs=0.01)
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    assert ranking.p == pytest.approx(float(stats.f.sf(3.69, 3, 39)), abs=1e-3)


@pytest.mark.parametrize(
    ("arms", "q"), [(2, 1.960), (3, 2.344), (4, 2.569), (5, 2.728), (6, 2.850)]
)
def test_nemenyis_table(arms: int, q: float) -> None:
    assert critical_difference(arms, 10) == pytest.approx(
        q * math.sqrt(arms * (arms + 1) / 60), rel=1e-3
    )


def test_ranks_and_friedman_are_scipys() -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(9, 4)) + np.arange(4) / 2, columns=list("abcd"))
    ranking = ranks(table, -1)
    expected = stats.rankdata(table.to_numpy(), axis=1).mean(axis=0)
    assert ranking.average.to_dict() == pytest.approx(dict(zip("abcd", expected, strict=True)))
    assert ranking.chi_squared == pytest.approx(
        float(stats.friedmanchisquare(*table.to_numpy().T).statistic)
    )
    assert list(ranks(table, 1).average.index) == list(ranking.average.index)[::-1]


def test_a_clear_order_differs_and_chance_does_not() -> None:
    clear = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) + 1, "c": np.arange(12.0) + 2})
    assert ("a", "c") in ranks(clear, -1).differing and math.isinf(ranks(clear, -1).F)
    same = pd.DataFrame(np.random.default_rng(1).normal(size=(6, 3)), columns=list("abc"))
    assert ranks(same, -1).differing == []


def test_one_data_set_gives_no_test() -> None:
    ranking = ranks(pd.DataFrame({"a": [1.0], "b": [2.0]}), -1)
    assert ranking.p == 1 and ranking.differing == [] and math.isinf(ranking.critical_difference)


def test_few_data_sets_are_enumerated() -> None:
    """Three data sets that order three arms alike: 1 of 36 orders of the others, where the F distribution would say 0."""
    alike = ranks(pd.DataFrame({"a": [1.0, 2, 3], "b": [2.0, 3, 4], "c": [3.0, 4, 5]}), -1)
    assert alike.p == pytest.approx(1 / 36)
    two = ranks(pd.DataFrame({"a": [1.0, 2], "b": [2.0, 3], "c": [3.0, 4]}), -1)
    assert two.p == pytest.approx(1 / 6) and two.differing == []
    draw = np.random.default_rng(0)
    for _ in range(2):
        table = draw.random((3, 4))
        ranking = ranks(pd.DataFrame(table, columns=list("abcd")), -1)
        simulated = [stats.friedmanchisquare(*draw.random((3, 4)).T).statistic for _ in range(1500)]
        assert ranking.p == pytest.approx(
            np.mean(np.array(simulated) >= ranking.chi_squared - 1e-9), abs=0.05
        )

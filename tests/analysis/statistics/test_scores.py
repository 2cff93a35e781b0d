"""Arms as matrices of seeds x photographs: which arm's seeds win."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.scores import Scores


@pytest.mark.parametrize("direction", [1, -1])
def test_the_seeds_that_win_are_mann_whitneys_u(direction: int) -> None:
    draw = np.random.default_rng(0)
    values = {
        "a": draw.normal(0, 1, (5, 1)) + np.zeros((5, 4)),
        "b": draw.normal(0.3, 1, (4, 1)) + np.zeros((4, 4)),
    }
    listed = {arm: np.ones(4, bool) for arm in values}
    scored = Scores("delta_e", values, listed, {"a": False, "b": False})
    means = [values[arm].mean(axis=1) for arm in ("a", "b")]
    u = stats.mannwhitneyu(*(direction * mean for mean in means)).statistic
    assert scored.seeds_won("a", "b", direction) == pytest.approx(u / 20)
    assert scored.seeds_won("b", "a", direction) == pytest.approx(1 - u / 20)


def test_a_single_seed_wins_nothing() -> None:
    values = {"a": np.zeros((1, 4)), "b": np.ones((3, 4)), "grey": np.ones((1, 4))}
    listed = {arm: np.ones(4, bool) for arm in values}
    scored = Scores("delta_e", values, listed, {"a": False, "b": False, "grey": True})
    assert np.isnan(scored.seeds_won("a", "b", -1)) and np.isnan(scored.seeds_won("b", "grey", -1))

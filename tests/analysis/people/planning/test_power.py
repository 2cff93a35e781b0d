"""Plans: power rises with raters, is right where it can be computed, and a pilot's people are found again."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.people.design import Design
from analysis.people.planning.power import (
    OPINION,
    Assumptions,
    assumed,
    from_pilot,
    power,
    raters_needed,
    simulate,
)
from analysis.people.planning.stopping import AT_THE_END
from analysis.people.schedule import Schedule
from common.errors import ColourbenchError

ALIKE = Assumptions(mean=0.3, raters=0.0, photographs=0.0, likes=0.0, seeds=0.0)


def test_power_without_differences_between_people_is_the_textbooks() -> None:
    """Two rates of 30 % and 42 %, 320 answers each: power of the two-sample test at the last look's 4 %."""
    share = power(Design("pair", 40, 22), 60, 2, 1, 0.12, ALIKE, 300)
    n = 40 * 16 / 2
    error = np.sqrt(0.3 * 0.7 / n + 0.42 * 0.58 / n)
    textbook = stats.norm.sf(stats.norm.ppf(1 - AT_THE_END / 2) - 0.12 / error)
    # clustered errors have a little less power where nothing clusters
    assert share == pytest.approx(textbook, abs=0.12)


def test_simulated_people_are_as_assumed() -> None:
    """Each source of variation by itself: the standard deviation of what it adds, and that it is one number a person, a picture …"""
    schedule = Schedule(
        Design("opinion", 200, 30), [str(k) for k in range(40)], {"a": range(4), "b": range(4)}, "s"
    )
    trials = [
        trial for trial in schedule.plan() if trial.kind == "test" and trial.arm in ("a", "b")
    ]
    still = {
        "mean": 3.0,
        "raters": 0.0,
        "photographs": 0.0,
        "likes": 0.0,
        "seeds": 0.0,
        "noise": 1e-9,
    }
    groups = {
        "raters": ["rater"],
        "photographs": ["image"],
        "likes": ["image", "arm"],
        "seeds": ["arm", "seed"],
        "noise": ["rater", "image", "arm", "seed"],
    }
    table = pd.DataFrame(
        {
            name: [getattr(trial, name) for trial in trials]
            for name in ("rater", "image", "arm", "seed")
        }
    )
    for source, keys in groups.items():
        people = Assumptions(**{**still, source: 0.6})
        spreads, within = [], []
        for values in simulate(trials, ["a", "b"], 0.0, people, 40, np.random.default_rng(1)):
            of_groups = table.assign(value=values).groupby(keys)["value"]
            spreads.append(of_groups.mean().std(ddof=0))
            within.append(of_groups.std(ddof=0).fillna(0).max())
        rounded = np.sqrt(0.6**2 + 1 / 12)  # answers are whole numbers
        assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(rounded, rel=0.2), source
        assert max(within) == 0, source
    better = next(
        simulate(trials, ["a", "b"], 1.0, Assumptions(**still), 1, np.random.default_rng(0))
    )
    assert set(better[table["arm"] == "a"]) == {3.0} and set(better[table["arm"] == "b"]) == {4.0}


def test_no_difference_is_called_in_five_per_cent() -> None:
    assert power(Design("pair", 30, 24), 60, 3, 4, 0.0, Assumptions(), 300) <= 0.085


def test_more_raters_see_more_until_seeds_are_the_limit() -> None:
    by_raters = list(raters_needed(Design("pair", 0, 24), 60, 2, 5, 0.15, Assumptions(), 100))
    powers = [reached for _, reached in by_raters]
    assert powers[-1] >= 0.8 and powers[0] < 0.5
    few = power(Design("pair", 160, 24), 60, 2, 2, 0.1, Assumptions(seeds=0.1), 60)
    assert few < 0.5  # no number of raters makes up for two seeds


def test_a_pilot_tells_what_people_are_like() -> None:
    schedule = Schedule(
        Design("pair", 80, 40), [str(k) for k in range(60)], {"a": range(6), "b": range(6)}, "s"
    )
    trials = [t for t in schedule.plan() if t.kind == "test"]
    people = Assumptions(mean=0.4, raters=0.12, photographs=0.12, likes=0.08, seeds=0.05)
    estimates = []
    for y in simulate(trials, ["a", "b"], 0.0, people, 12, np.random.default_rng(0)):
        rows = [
            (t.rater, "test", t.image, t.arm, t.seed, "left", "right" if v else "left")
            for t, v in zip(trials, y, strict=True)
        ]
        table = pd.DataFrame(
            rows, columns=["rater", "kind", "image", "arm", "seed", "side", "response"]
        )
        estimates.append(from_pilot(table, "pair"))
    for name in ("mean", "raters", "photographs", "likes", "seeds"):
        average = float(np.mean([getattr(one, name) for one in estimates]))
        assert average == pytest.approx(getattr(people, name), abs=0.035), name


def test_a_pilots_arms_and_likes_are_not_taken_for_photographs() -> None:
    """Arms far apart, and photographs that differ only in how an arm suits them: nothing is left for photographs themselves."""
    schedule = Schedule(
        Design("pair", 80, 40), [str(k) for k in range(60)], {"a": range(3), "b": range(3)}, "s"
    )
    trials = [t for t in schedule.plan() if t.kind == "test"]
    people = Assumptions(mean=0.3, raters=0.0, photographs=0.0, likes=0.2, seeds=0.0)
    estimates = []
    for y in simulate(trials, ["a", "b"], 0.4, people, 8, np.random.default_rng(0)):
        rows = [
            (t.rater, "test", t.image, t.arm, t.seed, "left", "right" if v else "left")
            for t, v in zip(trials, y, strict=True)
        ]
        estimates.append(
            from_pilot(
                pd.DataFrame(
                    rows, columns=["rater", "kind", "image", "arm", "seed", "side", "response"]
                ),
                "pair",
            )
        )
    assert np.mean([one.photographs**2 for one in estimates]) < 0.003
    # rates are bounded
    assert np.mean([one.likes for one in estimates]) == pytest.approx(0.17, abs=0.05)


def test_a_plan_counts_all_pairs_as_the_tables_do() -> None:
    """With six arms there are fifteen pairs, and Holm's correction over them costs power."""
    two = power(Design("pair", 60, 22), 60, 2, 1, 0.12, ALIKE, 150)
    # as many answers an arm
    six = power(Design("pair", 180, 22), 60, 6, 1, 0.12, ALIKE, 60)
    assert six < two - 0.1


def test_a_design_without_spare_answers_sees_nothing() -> None:
    """Five raters, each photograph seen once: nothing tells arms, raters and photographs apart."""
    assert power(Design("pair", 2, 24), 200, 4, 5, 0.2, Assumptions(), 20) == 0.0


def test_a_pilot_of_another_test_is_refused() -> None:
    rows = [
        (f"r{r}", "test", f"i{i}", f"a{(r + i) % 2}", 0, "left", "left")
        for r in range(3)
        for i in range(4)
    ]
    pilot = pd.DataFrame(
        rows, columns=["rater", "kind", "image", "arm", "seed", "side", "response"]
    )
    for test in ("opinion", "single"):
        with pytest.raises(ColourbenchError, match="not those of --test"):
            from_pilot(pilot, test)


def test_what_cannot_be_planned_is_said() -> None:
    assert assumed("opinion") == OPINION
    with pytest.raises(ColourbenchError, match="preference"):
        assumed("preference")
    with pytest.raises(ColourbenchError, match="two raters"):
        rows = [("r", "test", "i", "a", 0, "left", "left")]
        from_pilot(
            pd.DataFrame(
                rows, columns=["rater", "kind", "image", "arm", "seed", "side", "response"]
            ),
            "pair",
        )

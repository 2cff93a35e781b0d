"""Bradley-Terry with ties: published worths, deviance of a saturated model, and simulated people who prefer nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from analysis.people import preference

CITATIONS = {  # Stigler 1994, as in Turner & Firth 2012: (cited, citing): wins
    ("Biometrika", "Comm. Statist."): (730, 33), ("Biometrika", "JASA"): (498, 320), ("Biometrika", "JRSS-B"): (221, 284),
    ("Comm. Statist.", "JASA"): (68, 813), ("Comm. Statist.", "JRSS-B"): (17, 276), ("JASA", "JRSS-B"): (142, 325),
}  # fmt: skip
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
BASEBALL = ((0, 7, 9, 7, 7, 9, 11), (6, 0, 7, 5, 11, 9, 9), (4, 6, 0, 7, 7, 8, 12), (6, 8, 6, 0, 6, 7, 10),
            (6, 2, 6, 7, 0, 7, 12), (4, 4, 5, 6, 6, 0, 6), (2, 4, 1, 3, 1, 7, 0))  # fmt: skip


def expanded(
    wins: dict[tuple[str, str], tuple[int, int]],
) -> tuple[list[str], list[str], list[float]]:
    rows = [
        (a, b, value)
        for (a, b), counts in wins.items()
        for value, n in zip((1.0, 0.0), counts, strict=True)
        for _ in range(n)
    ]
    first, second, values = zip(*rows, strict=True)
    return list(first), list(second), list(values)


def deviance(fitted: preference.Preferences, wins: dict[tuple[str, str], tuple[int, int]]) -> float:
    """Against one probability for each pair."""
    total = 0.0
    for (a, b), (won, lost) in wins.items():
        p = 1 / (
            1 + np.exp(fitted.worth[fitted.arms.index(b)] - fitted.worth[fitted.arms.index(a)])
        )
        n = won + lost
        total += 2 * sum(y * np.log(y / (n * q)) for y, q in ((won, p), (lost, 1 - p)) if y)
    return total


def test_stiglers_citations() -> None:
    fitted = preference.fit(*expanded(CITATIONS))
    base = fitted.arms.index("Biometrika")
    for name, (worth, error) in {
        "Comm. Statist.": (-2.9491, 0.1025), "JASA": (-0.4796, 0.0606), "JRSS-B": (0.2690, 0.0708)
    }.items():  # fmt: skip
        contrast = np.eye(4)[fitted.arms.index(name)] - np.eye(4)[base]
        assert fitted.worth @ contrast == pytest.approx(worth, abs=5e-5)
        assert np.sqrt(contrast @ fitted.model @ contrast) == pytest.approx(error, abs=5e-5)
    assert deviance(fitted, CITATIONS) == pytest.approx(4.2934, abs=5e-5)


def test_agrestis_baseball() -> None:
    wins = {
        (TEAMS[i], TEAMS[j]): (BASEBALL[i][j], BASEBALL[j][i]) for i in range(7) for j in range(i)
    }
    fitted = preference.fit(*expanded(wins))
    worth = {
        team: fitted.worth[fitted.arms.index(team)] - fitted.worth[fitted.arms.index("Baltimore")]
        for team in TEAMS
    }
    assert [worth[team] for team in TEAMS[:6]] == pytest.approx(
        [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839], abs=5e-5
    )
    assert deviance(fitted, wins) == pytest.approx(15.737, abs=5e-4)


def test_ties_are_davidsons() -> None:
    """Against a general optimiser on Davidson's likelihood."""
    draw = np.random.default_rng(0)
    true = np.array([0.6, 0.0, -0.6])
    first, second = draw.integers(3, size=(2, 600))
    first, second = first[first != second], second[first != second]
    values = []
    for i, j in zip(first, second, strict=True):
        weights = np.exp([true[i], true[j], -0.5 + (true[i] + true[j]) / 2])
        values.append(draw.choice([1.0, 0.0, 0.5], p=weights / weights.sum()))
    y = np.array(values)

    def loss(parameters: np.ndarray) -> float:
        a, b = parameters[first], parameters[second]
        utilities = np.stack([a, b, parameters[3] + (a + b) / 2])
        chosen = np.select([y == 1, y == 0], [utilities[0], utilities[1]], utilities[2])
        return float(
            np.log(np.exp(utilities).sum(axis=0)).sum()
            - chosen.sum()
            + 1e-9 * (parameters**2).sum()
        )

    best = minimize(loss, np.zeros(4)).x
    fitted = preference.fit([f"a{i}" for i in first], [f"a{j}" for j in second], values)
    assert fitted.worth == pytest.approx(
        best[:3] - best[:3].mean(), abs=1e-3
    ) and fitted.tie == pytest.approx(best[3], abs=1e-3)


def test_an_arm_that_always_wins_is_told() -> None:
    fitted = preference.fit(
        ["a"] * 20 + ["b"] * 4, ["b"] * 10 + ["c"] * 14, [1.0] * 20 + [1.0, 0.0, 1.0, 0.0]
    )
    assert fitted.separated[0] and np.isfinite(fitted.worth).all()
    answers = people(np.random.default_rng(0), 6, 20, 12, 1)
    answers["response"] = np.where(answers["arm"] == "arm0", answers["side"], answers["response"])
    for row in preference.pairs(answers).to_dict("records"):
        assert (
            ("arm0" in (row["first"], row["second"]))
            == np.isnan(row["p"])
            == ("not finite" in row["interval"])
        )


def test_arms_that_no_answers_link_are_not_compared() -> None:
    answers = people(np.random.default_rng(0), 12, 30, 24, 1)
    apart = pd.concat(
        [answers, answers.assign(arm="x" + answers["arm"], other="x" + answers["other"])]
    )
    rows = preference.pairs(apart).to_dict("records")
    assert all(
        np.isnan(row["p"]) == (row["first"].startswith("x") != row["second"].startswith("x"))
        for row in rows
    )


def people(
    draw: np.random.Generator,
    raters: int,
    images: int,
    trials: int,
    seeds: int,
    effect: float = 0.0,
) -> pd.DataFrame:
    """Three arms: photographs suit arms differently, seeds differ, raters have a side that they like."""
    likes, luck = (
        draw.normal(0, 0.7, (images, 3)),
        draw.normal(0, 0.4 if seeds > 1 else 0.0, (3, seeds)),
    )
    side, pairs = draw.normal(0, 0.5, raters), [(0, 1), (0, 2), (1, 2)]
    rows = []
    for rater in range(raters):
        for image in draw.permutation(images)[:trials]:
            (i, j), s, t = pairs[draw.integers(3)], draw.integers(seeds), draw.integers(seeds)
            left = draw.random() < 0.5
            logit = (
                likes[image, i]
                + luck[i, s]
                - likes[image, j]
                - luck[j, t]
                + side[rater] * (1 if left else -1)
                + effect * (j - i)
            )
            won = draw.random() < 1 / (1 + np.exp(-logit))
            response = "equal" if draw.random() < 0.15 else ("left" if won == left else "right")
            rows.append(
                (
                    f"r{rater}",
                    "test",
                    f"i{image}",
                    f"arm{i}",
                    s,
                    f"arm{j}",
                    t,
                    "left" if left else "right",
                    response,
                )
            )
    return pd.DataFrame(
        rows,
        columns=[
            "rater",
            "kind",
            "image",
            "arm",
            "seed",
            "other",
            "other_seed",
            "side",
            "response",
        ],
    )


def test_false_positives_stay_near_five_per_cent() -> None:
    draw, p = np.random.default_rng(3), []
    for _ in range(80):
        p += preference.pairs(people(draw, 24, 40, 30, 3))["p"].tolist()
    assert np.mean(np.array(p) < 0.05) <= 0.115


def test_a_real_preference_is_found_and_the_order_is_right() -> None:
    answers = people(np.random.default_rng(4), 40, 60, 40, 3, effect=-1.0)
    table = preference.worths(answers)
    assert table["arm"].tolist() == ["arm2", "arm1", "arm0"] or table["arm"].tolist() == [
        "arm0",
        "arm1",
        "arm2",
    ]
    [row] = [
        row
        for row in preference.pairs(answers).to_dict("records")
        if (row["first"], row["second"]) == ("arm0", "arm2")
    ]
    assert row["p_holm"] < 0.01 and row["low"] < row["difference"] < row["high"]


def test_two_outlying_observers_of_a_published_study(published: Path) -> None:
    """Tone mapping operators (pwcmp, example 3): 18 observers, 5 scenes, 7 conditions."""
    table = pd.read_csv(published / "pwcmp" / "ex3_tmo_cmp_data.csv")
    assert (table["observer"].nunique(), table["scene"].nunique()) == (18, 5)
    fitted = preference.fit(
        table["condition_A"].tolist(),
        table["condition_B"].tolist(),
        table["is_A_selected"].tolist(),
    )
    assert len(fitted.arms) == 7 and not fitted.separated.any()

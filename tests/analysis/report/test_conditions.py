"""Arms compared under each condition: the same model as elsewhere, with one correction over all rows."""

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.conditions import PLAIN
from analysis.report import conditions
from analysis.results import Results
from analysis.statistics.crossed import two_methods
from analysis.statistics.differences import holm

GAIN = {PLAIN: 0.0, "red": -2.0}  # what the mixes bring under each condition


class Measured(Results):
    """Results whose figures under other conditions are given instead of read."""

    def __init__(self, table: pd.DataFrame) -> None:
        vars(self).update(conditions=table)


def made(arms_in_red: tuple[str, ...] = ("plain", "mixes")) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    level = draw.normal(12, 2, 40)
    rows = []
    for condition, gain in GAIN.items():
        for arm in ("plain", "mixes"):
            if condition == "red" and arm not in arms_in_red:
                continue
            for seed in range(3):
                values = level + (gain if arm == "mixes" else 0.0) + draw.normal(0, 0.2, 40)
                about = {"condition": condition, "arm": arm, "seed": seed, "colourfulness": 20.0}
                rows += [
                    {**about, "image": f"{n}#0", "photograph": str(n), "delta_e": value}
                    for n, value in enumerate(values)
                ]
    return pd.DataFrame(rows)


def by_hand(table: pd.DataFrame, condition: str) -> float:
    """The p-value of one condition's pair, from matrices of seeds x photographs."""
    rows = table[table["condition"] == condition]
    plain, mixes = (
        rows[rows["arm"] == arm]
        .pivot(index="seed", columns="photograph", values="delta_e")
        .to_numpy()
        for arm in ("plain", "mixes")
    )
    return float(two_methods(plain, mixes).p())


def test_a_gain_on_one_film_is_found_there_alone() -> None:
    table = made()
    frame = conditions.compared(Measured(table))
    assert list(frame["group"]) == [PLAIN, "red"]
    seen, red = frame.to_dict("records")
    assert red["estimate"] == pytest.approx(2.0, abs=0.2)  # plain - mixes
    expected = holm([by_hand(table, PLAIN), by_hand(table, "red")])
    assert list(frame["p_holm"]) == pytest.approx(expected, rel=1e-6)
    assert red["p_holm"] < 0.01 and seen["p_holm"] > 0.05


def test_a_condition_that_one_arm_lacks_has_no_pair_and_no_share_in_the_correction() -> None:
    table = made(arms_in_red=("plain",))
    frame = conditions.compared(Measured(table))
    assert list(frame["group"]) == [PLAIN]
    assert frame["p_holm"][0] == pytest.approx(by_hand(table, PLAIN))


def test_readers_see_the_condition_first() -> None:
    shown = conditions.readable_pairs(conditions.compared(Measured(made())))
    assert list(shown.columns)[:2] == ["condition", "first − second"]
    assert list(shown["condition"]) == ["as the eye sees", "red"]


def test_a_study_without_conditions_has_no_table() -> None:
    assert conditions.compared(Measured(pd.DataFrame())).empty

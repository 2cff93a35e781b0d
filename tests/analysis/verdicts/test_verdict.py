"""From a table of figures to the sentence that is read first."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.scores import matrix
from analysis.verdicts import itself, planning
from analysis.verdicts.verdict import Verdict, seeds_in_words, verdict
from common.errors import ColourbenchError
from common.tracking import Run


class Made(Results):
    """Results whose table is given instead of read."""

    def __init__(self, table: pd.DataFrame, **settings: Any) -> None:
        arms: dict[str, Any] = {arm: {} for arm in table.loc[~table["fixed"], "arm"].unique()}
        given = {
            "primary": "delta_e",
            "margin": 0.5,
            "question": "Which?",
            "arms": arms,
            "baselines": ["grey"],
            **settings,
        }
        vars(self).update(
            table=table, name="made", settings=given, dataset=None, cells=_cells(table), parent=None
        )


def _cells(table: pd.DataFrame) -> list[Run]:
    """A run a cell, of an hour each."""
    runs = []
    for row in table[["arm", "seed", "fixed"]].drop_duplicates().to_dict("records"):
        # without a store: what was logged is all that is asked for
        run = object.__new__(Run)
        run.tags = {
            "arm": row["arm"],
            "seed": str(row["seed"]),
            "baseline": "yes" if row["fixed"] else "no",
        }
        run.metrics = {"seconds": 3600.0}
        runs.append(run)
    return runs


def figures(
    shifts: dict[str, float],
    seeds: int = 4,
    photographs: int = 100,
    deviation: float = 0.3,
    grey: float = 15.0,
    draw: int = 0,
) -> pd.DataFrame:
    """ΔE of arms around 12 plus their shift, and of grey."""
    random = np.random.default_rng(draw)
    hard = random.normal(scale=2, size=photographs)
    rows = []
    for arm, shift in {**shifts, "grey": grey - 12}.items():
        for seed in range(1 if arm == "grey" else seeds):
            luck = 0.0 if arm == "grey" else random.normal(scale=deviation)
            for p in range(photographs):
                value = 12 + shift + hard[p] + luck + random.normal(scale=0.5)
                rows.append(
                    {
                        "arm": arm,
                        "seed": seed,
                        "image": f"{p}#0",
                        "photograph": f"{p}",
                        "fixed": arm == "grey",
                        "delta_e": value,
                    }
                )
    return pd.DataFrame(rows)


def asked(table: pd.DataFrame, **settings: Any) -> Verdict:
    return verdict(
        Made(table, **settings), differences.differences(table, "delta_e", resamples=200)
    )


def test_what_is_better_is_said_with_its_size_and_what_it_rests_on() -> None:
    judged = asked(figures({"wgan_gp": 0.0, "cgan": 2.0}))
    assert (
        judged.lines[0].startswith("wgan_gp is better than cgan: by ")
        and "ΔE₀₀ [" in judged.lines[0]
    )
    assert (
        judged.lines[0].endswith("(4 seeds, 100 photographs)")
        and judged.answers[0].outcome == "better"
    )


def test_better_by_less_than_matters_is_not_just_better() -> None:
    answer = asked(figures({"a": 0.0, "b": 0.2}, seeds=10, deviation=0.02)).answers[0]
    assert (answer.outcome, answer.better) == ("slightly better", "a")
    assert answer.text.startswith(
        "a is better than b, but by less than the 0.5 that matters: by 0."
    )
    # both tests agree: there is a difference, and it is small
    assert answer.p_equivalent_holm < 0.05


def test_equivalent_within_the_margin() -> None:
    judged = asked(figures({"a": 0.0, "b": 0.02}, seeds=10, deviation=0.05))
    answer = judged.answers[0]
    assert answer.outcome == "equivalent" and "are equivalent within 0.5 ΔE₀₀" in judged.lines[0]
    assert -0.5 < answer.low < answer.high < 0.5


@pytest.mark.parametrize("draw", range(12))
def test_intervals_agree_with_the_decision(draw: int) -> None:
    """After Holm: better leaves out 0, equivalent lies within the margin, not settled does neither."""
    table = figures({"a": 0.0, "b": 0.35, "c": 0.6, "d": 0.02}, seeds=4, deviation=0.25, draw=draw)
    for answer in asked(table).answers:
        if answer.outcome in ("better", "slightly better"):
            assert answer.low > 0 or answer.high < 0
            assert (abs(answer.estimate) >= 0.5) == (answer.outcome == "better")
        elif answer.outcome == "equivalent":
            assert answer.low > -0.5 and answer.high < 0.5 and answer.better == ""
        else:
            assert answer.low < 0 < answer.high and answer.p_equivalent_holm >= 0.05


def test_equivalence_is_corrected_for_the_number_of_pairs() -> None:
    """One pair that is equivalent at 5 % alone is not among twenty-one."""
    alone = figures({"a": 0.0, "b": 0.15}, seeds=4, deviation=0.12, draw=3)
    others = figures(
        {f"x{n}": 5.0 * n for n in range(1, 6)}, seeds=4, deviation=0.12, draw=4
    ).query("arm != 'grey'")
    one = asked(alone).answers[0]
    among = next(
        answer
        for answer in asked(pd.concat([alone, others])).answers
        if {answer.first, answer.second} == {"a", "b"}
    )
    assert among.p_equivalent_holm > one.p_equivalent_holm


def test_two_seeds_never_call_better_without_a_remark() -> None:
    (answer,) = [
        one
        for one in asked(figures({"a": 0.0, "b": 9.0}, seeds=2, deviation=0.02)).answers
        if one.is_asked
    ]
    assert answer.outcome == "better" and "with 2 seeds of a noisy arm" in answer.text


def test_photographs_that_are_left_out_are_counted() -> None:
    table = figures({"a": 0.0, "b": 2.0})
    table.loc[
        (table["arm"] == "a") & (table["seed"] == 1) & table["photograph"].isin(["3", "4"]),
        "delta_e",
    ] = np.nan
    answer = asked(table).answers[0]
    assert (
        answer.left_out == 2
        and "(4 seeds, 98 photographs, 2 left out for a missing value)" in answer.text
    )


def test_not_settled_names_the_seeds_and_hours_that_would_do() -> None:
    answer = asked(figures({"a": 0.0, "b": 0.1}, seeds=3, deviation=0.7)).answers[0]
    assert answer.outcome == "not settled" and answer.seeds_needed is not None
    low, high = answer.seeds_needed
    assert 3 < low < high
    assert f"{seeds_in_words((low, high))} seeds would find 0.5 with 80 % power" in answer.text
    if answer.hours_needed:
        # two arms, an hour a run
        assert 2 * (low - 3) <= answer.hours_needed <= 2 * (min(high, 30) - 3)


def test_enough_seeds_without_a_verdict_do_not_ask_for_as_many() -> None:
    texts = [
        answer.text
        for draw in range(6)
        for answer in asked(
            figures({"a": 0.0, "b": 0.3}, seeds=12, deviation=0.35, draw=draw)
        ).answers
        if answer.outcome == "not settled" and answer.is_asked
    ]
    assert not any("12 seeds would find" in text for text in texts)


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        ((4, 4), "4"),
        ((4, 9), "4 to 9"),
        ((12, 200), "12 to more than 30"),
        ((40, 247), "more than 30"),
    ],
)
def test_large_numbers_of_seeds_are_not_told_apart(needed: tuple[int, int], words: str) -> None:
    assert seeds_in_words(needed) == words


def test_one_seed_settles_nothing() -> None:
    judged = asked(figures({"a": 0.0, "b": 9.0}, seeds=1))
    assert (
        judged.answers[0].outcome == "not settled"
        and "says nothing about a method" in judged.lines[0]
    )


def test_grey_is_a_line_and_who_does_not_beat_it_is_told() -> None:
    worse = asked(figures({"a": 0.0, "b": 0.1}, grey=11.0))
    assert worse.lines[-1] == "No trained arm is better than grey (ab = 0) in ΔE₀₀"
    assert not any("grey" in line for line in worse.lines[:-1])
    assert not any("No trained arm" in line for line in asked(figures({"a": 0.0, "b": 0.1})).lines)


def test_where_little_is_known_no_arm_is_called_no_better_than_grey() -> None:
    unknown = asked(figures({"a": 0.0, "b": 0.1}, seeds=2, deviation=2.0, grey=14.5))
    assert unknown.lines[-1] == "No trained arm is shown to be better than grey (ab = 0) in ΔE₀₀"


def test_the_record_is_plain_data() -> None:
    record = asked(figures({"a": 0.0, "b": 9.0}, seeds=1), declared_at="2026-01-01").record()
    assert json.loads(json.dumps(record, allow_nan=False))["declared_at"] == "2026-01-01"
    assert record["answers"][0]["low"] is None


def test_against_itself_counts_every_split_once_and_pools_arms_that_are_alike() -> None:
    table = pd.concat(
        [
            figures({"a": 0.0}, draw=1),
            figures({"a again": 0.0}, draw=2)
            .query("arm != 'grey'")
            .assign(seed=lambda t: t["seed"] + 4),
        ]
    )
    for metric in ("psnr_rgb", "psnr_ab", "ssim", "colourfulness_difference", "ab_distance"):
        table[metric] = table["delta_e"]
    by_method = itself.against_itself(Made(table, arms={"a": {}, "a again": {"like": "a"}}))
    # C(8, 4) / 2
    assert set(by_method["method"]) == {"a"} and (by_method["splits"] == 35).all()
    assert "called different from itself in" in itself.summary(by_method)


def test_the_suite_calls_a_method_different_from_itself_at_its_nominal_rate_and_the_old_tests_at_many_times_it() -> (
    None
):
    frames = []
    for draw in range(12):
        table = figures({"a": 0.0}, seeds=6, photographs=60, deviation=0.5, draw=draw)
        frames.append(itself._splits(matrix(table[table["arm"] == "a"], "delta_e")))
    called, as_runs, splits = (
        sum(frame[name] for frame in frames) for name in ("called", "called_as_runs", "splits")
    )
    assert called / splits <= 0.08 and as_runs / splits > 0.4


def test_few_seeds_have_no_rate_and_many_are_drawn_from() -> None:
    assert (
        itself.against_itself(Made(figures({"a": 0.0}, seeds=3))).empty
        and itself.summary(pd.DataFrame()) == ""
    )
    assert (
        150 < len(itself._halves(40)) <= itself.MOST_SPLITS
        and len(itself._halves(5)) == 10
        and len(itself._halves(10)) == 126
    )


def test_a_plan_foretells_what_comes() -> None:
    """The pilot of 4 seeds foretells the interval of 12, over studies that were made alike."""
    ratios = []
    for draw in range(20):
        table = figures({"a": 0.0, "b": 0.3}, seeds=12, deviation=0.6, draw=draw)
        planned = planning.plan(Made(table[table["seed"] < 4]), 0.5)
        foretold = planned.designs.query("seeds == 12 and photographs == 100")["half_width"].item()
        came = differences.difference(table, "delta_e", "a", "b", resamples=10)
        ratios.append(foretold / ((came.high - came.low) / 2))
    assert np.median(ratios) == pytest.approx(1.0, abs=0.25)


def test_a_plan_takes_the_pair_that_is_hardest_and_counts_all_arms() -> None:
    planned = planning.plan(Made(figures({"a": 0.0, "b": 0.3, "c": 0.1}, deviation=0.6)), 0.5)
    assert planned.pilot_seeds == 4 and planned.seeds is not None
    assert planned.hours == pytest.approx(3 * max(0, planned.seeds[0] - 4))
    assert len(planned.designs) == 18
    for _, designs in planned.designs.groupby("photographs"):
        assert (
            designs["half_width"].is_monotonic_decreasing
            and designs["detectable"].is_monotonic_decreasing
        )
    with pytest.raises(ColourbenchError, match="two seeds each"):
        planning.plan(Made(figures({"a": 0.0, "b": 0.3}, seeds=1)), 0.5)

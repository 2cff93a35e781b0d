"""Agreement, detection and correlation, against textbook values and naive computation."""

from collections.abc import Sequence
from typing import Any

import evalica
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import fleiss_kappa

from analysis.people import agreement

NAN = float("nan")
KRIPPENDORFF = [  # Krippendorff 2011, "Computing Krippendorff's alpha-reliability": 4 observers, 12 units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]
FLEISS = [  # 10 subjects, 14 raters, 5 categories (Fleiss' κ, textbook example)
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "value"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_example(scale: agreement.Scale, value: float) -> None:
    alpha = agreement.alpha(pd.DataFrame(KRIPPENDORFF), scale)
    assert (
        alpha["alpha"] == pytest.approx(value, abs=5e-4)
        and alpha["low"] < alpha["alpha"] < alpha["high"]
    )


def test_fleiss_kappa_is_near_alpha_on_the_textbook_example() -> None:
    """Both count chance agreement; with 14 raters they differ by 1/(n N) only."""
    ratings = [
        [category for category, count in enumerate(row, 1) for _ in range(count)] for row in FLEISS
    ]
    assert fleiss_kappa(np.array(FLEISS)) == pytest.approx(0.210, abs=5e-4)
    alpha = agreement.alpha(pd.DataFrame(ratings).T.astype(float), "nominal")
    assert alpha["alpha"] == pytest.approx(0.210, abs=0.008)


def answers(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["rater", "kind", "image", "arm", "seed", "side", "response"])


def test_detection_counts_hits_and_false_alarms() -> None:
    rows: list[tuple[object, ...]] = [
        ("r", "test", f"i{k}", "truth", None, "", "real" if k < 16 else "fake") for k in range(20)
    ]
    rows += [("r", "test", f"j{k}", "cgan", 0, "", "real" if k < 4 else "fake") for k in range(20)]
    rows += [("r", "test", f"k{k}", "egan", 0, "", "real" if k < 16 else "fake") for k in range(20)]
    by_arm = agreement.detection(answers(rows)).set_index("arm")
    h, f = stats.norm.ppf(16.5 / 21), stats.norm.ppf(4.5 / 21)
    assert by_arm.loc["cgan", "d_prime"] == pytest.approx(h - f) and by_arm.loc[
        "egan", "d_prime"
    ] == pytest.approx(0)
    assert (
        by_arm.loc["cgan", "share_wrong"] == pytest.approx((0.2 + 0.2) / 2)
        and by_arm.loc["egan", "share_wrong"] == 0.5
    )
    assert by_arm.loc["cgan", "bias"] == pytest.approx(-(h + f) / 2)


def test_people_and_metrics() -> None:
    draw = np.random.default_rng(0)
    cells = [(f"i{k}", arm, seed) for k in range(12) for arm in ("cgan", "egan") for seed in (0, 1)]
    error = draw.uniform(0, 1, len(cells))
    rows = [
        (
            f"r{r}",
            "test",
            *cell,
            "",
            str(int(np.clip(np.round(5 - 4 * e + draw.normal(0, 0.3)), 1, 5))),
        )
        for r in range(6)
        for cell, e in zip(cells, error, strict=True)
    ]
    metrics = pd.DataFrame(cells, columns=["image", "arm", "seed"]).assign(
        delta_e=error, other=draw.random(len(cells))
    )
    metrics.loc[0, "other"] = np.inf
    rated = agreement.with_metrics(answers(rows), metrics, "opinion", ["delta_e", "other"])
    by_metric: Any = {(row["metric"], row["statistic"]): row for row in rated.to_dict("records")}
    assert (
        by_metric["delta_e", "spearman"]["correlation"] < -0.9
        and by_metric["delta_e", "kendall"]["high"] < -0.6
    )
    assert by_metric["other", "spearman"]["low"] < 0 < by_metric["other", "spearman"]["high"]
    assert by_metric["other", "kendall"]["n"] == len(cells) - 1


def test_raters_who_all_agree_have_no_alpha() -> None:
    alike = answers(
        [(f"r{r}", "test", f"i{i}", "cgan", 0, "", "real") for r in range(3) for i in range(4)]
    )
    alike = pd.concat([alike, answers([("r9", "test", "i9", "cgan", 0, "", "fake")])])
    assert np.isnan(agreement.krippendorff(alike, "single")["alpha"])


def test_nobody_saw_the_same() -> None:
    lone = answers([(f"r{k}", "test", f"i{k}", "cgan", 0, "", "real") for k in range(5)])
    assert np.isnan(agreement.krippendorff(lone, "single")["alpha"])


def test_detection_without_a_real_photograph_is_unknown() -> None:
    table = answers(
        [("r1", "test", "a", "cgan", 0, "", "real"), ("r1", "test", "b", "cgan", 0, "", "fake")]
    )
    (row,) = agreement.detection(table).to_dict("records")
    assert np.isnan(row["d_prime"]) and np.isnan(row["bias"]) and np.isnan(row["share_wrong"])


def test_the_interval_of_alpha_covers_other_raters_and_photographs() -> None:
    """Raters with habits of their own on photographs that differ: over studies α lies inside about as often as it says."""
    draw = np.random.default_rng(0)

    def matrix(raters: int, units: int) -> pd.DataFrame:
        habits, quality = 0.7 * draw.normal(size=(raters, 1)), draw.normal(size=(1, units))
        scores = 3 + quality + habits + 0.7 * draw.normal(size=(raters, units))
        return pd.DataFrame(np.clip(np.round(scores), 1, 5))

    truth = np.mean([float(evalica.alpha(matrix(40, 200), "interval").alpha) for _ in range(10)])
    intervals = [agreement.alpha(matrix(8, 30), "interval") for _ in range(100)]
    assert np.mean([row["low"] <= truth <= row["high"] for row in intervals]) >= 0.85
    bootstraps = [
        evalica.alpha_bootstrap(matrix(8, 30), "interval", n_resamples=200, random_state=n)
        for n in range(5)
    ]
    wider = np.mean([row["high"] - row["low"] for row in intervals]) / np.mean(
        [float(b.high - b.low) for b in bootstraps]
    )
    assert wider > 1.3

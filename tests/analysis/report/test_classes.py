"""Per-class differences and the diversity of versions."""

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.metrics import per_image
from analysis.report import classes, study_tables
from analysis.results import Results
from analysis.statistics import differences


class Made(Results):
    """Results whose table is given instead of read."""

    def __init__(self, table: pd.DataFrame, arms: list[str]) -> None:
        vars(self).update(table=table, made=arms, settings={"baselines": ["grey"]})

    @property
    def arms(self) -> list[str]:
        """The given ones."""
        arms: list[str] = vars(self)["made"]
        return arms


def results() -> Made:
    """Two classes; labels help by 1.0 in `sea` and by nothing in `field`."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for seed in (0, 1):
        for photograph in range(40):
            label = "sea" if photograph % 2 else "field"
            for arm, shift in (
                ("none", 0.0),
                ("labels", -1.0 if label == "sea" else 0.0),
                ("labels without label", 0.0),
            ):
                value = 10 + photograph / 10 + shift + draw.normal(0, 0.2)
                rows.append(
                    {
                        "arm": arm,
                        "seed": seed,
                        "image": f"{photograph}#0",
                        "photograph": str(photograph),
                        "label": label,
                        "baseline": False,
                        "delta_e": value,
                        "diversity": 2.0 if arm == "labels" else 0.0,
                    }
                )
    return Made(pd.DataFrame(rows), ["none", "labels", "labels without label"])


def test_labels_help_where_they_help() -> None:
    frame = classes.per_class(results())
    assert (frame["first"] == "labels").all() and len(frame) == 4
    against_none = frame[frame["second"] == "none"]
    rows = {str(row["group"]): row for row in against_none.to_dict("records")}
    assert rows["sea"]["estimate"] == pytest.approx(-1.0, abs=0.15) and rows["sea"]["p_holm"] < 0.01
    assert rows["field"]["p_holm"] > 0.05 and rows["field"]["low"] < 0 < rows["field"]["high"]
    assert list(frame["p_holm"]) == differences.holm(frame["p"].tolist())
    assert list(classes.readable(classes.per_class(results()))["class"]) == [
        "field",
        "field",
        "sea",
        "sea",
    ]


def test_without_conditional_arms_there_is_no_table() -> None:
    study_results = results()
    study_results.arms.remove("labels without label")
    assert classes.per_class(study_results).empty


def test_diversity_is_the_mean_difference_between_pairs() -> None:
    versions = torch.rand(3, 2, 3, 4, 4, dtype=torch.float64) * 50
    diversity = per_image.diversity(versions)
    for image in range(2):
        pairs = [(0, 1), (0, 2), (1, 2)]
        naive = [
            np.linalg.norm((versions[a, image] - versions[b, image]).numpy(), axis=0).mean()
            for a, b in pairs
        ]
        assert diversity[image].item() == pytest.approx(np.mean(naive))
    assert per_image.diversity(versions[:1].expand(3, -1, -1, -1, -1)).tolist() == [0, 0]


def test_only_noisy_arms_are_in_the_diversity_table() -> None:
    frame = study_tables.diversity(results())
    assert frame["arm"].tolist() == ["labels"] and frame["diversity"].item() == 2.0

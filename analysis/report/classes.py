"""The effect of labels by class: paired differences within each class of the test split, corrected over all of them."""

import pandas as pd

from analysis.report import study_tables
from analysis.results import Results
from analysis.statistics import differences
from common.tracking.names import WITHOUT

METRIC = "delta_e"


def per_class(results: Results) -> pd.DataFrame:
    """Compares every arm trained with labels with every other trained arm, in ΔE₀₀ within each class.

    Empty for a study without such an arm. p has Holm's correction over all classes and pairs of the table.
    """
    classes = sorted(label for label in results.table["label"].unique() if label)
    tables = {label: results.table[results.table["label"] == label] for label in classes}
    return differences.within(tables, METRIC, _pairs(results))


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table formatted for readers."""
    columns = study_tables.readable_pairs(frame)
    return pd.concat([frame[["group"]].rename(columns={"group": "class"}), columns], axis=1)


def _pairs(results: Results) -> list[tuple[str, str]]:
    conditional = [arm for arm in results.arms if f"{arm} {WITHOUT}" in results.arms]
    trained = [arm for arm in results.arms if arm not in results.settings["baselines"]]
    return [(arm, other) for arm in conditional for other in trained if other not in conditional]

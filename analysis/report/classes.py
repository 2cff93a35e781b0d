"""The effect of labels by class: paired differences within each class of the test split, corrected over all of them."""

import pandas as pd

from analysis.report import study_tables
from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL
from common.tracking.names import WITHOUT

METRIC = "delta_e"


def per_class(results: Results) -> pd.DataFrame:
    """Compares every arm trained with labels with every other trained arm, in ΔE₀₀ within each class.

    Empty for a study without such an arm. p has Holm's correction over all classes and pairs of the table.
    """
    pairs = _pairs(results)
    classes = sorted(label for label in results.table["label"].unique() if label)
    level = LEVEL / max(1, len(classes) * len(pairs))
    rows = [_row(results.table[results.table["label"] == label], label, *pair, level) for label in classes for pair in pairs]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    return frame.assign(p_holm=differences.holm(frame["p"].tolist()), runs_p_holm=differences.holm(frame["runs_p"].tolist()))


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table formatted for readers."""
    columns = study_tables.readable_pairs(frame)
    return pd.concat([frame[["label"]].rename(columns={"label": "class"}), columns], axis=1)


def _pairs(results: Results) -> list[tuple[str, str]]:
    conditional = [arm for arm in results.arms if f"{arm} {WITHOUT}" in results.arms]
    trained = [arm for arm in results.arms if arm not in results.settings["baselines"]]
    return [(arm, other) for arm in conditional for other in trained if other not in conditional]


def _row(table: pd.DataFrame, label: str, first: str, second: str, level: float) -> dict[str, object]:
    return {"label": label, **vars(differences.difference(table, METRIC, first, second, level=level))}

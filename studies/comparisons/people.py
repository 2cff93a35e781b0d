"""The human study of a compared study: begins it, and finds the metrics that people are compared with."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import results
from analysis.ratings.design import Design
from analysis.ratings.sheets import handout
from analysis.ratings.study import RatingStudy, material
from common.colour.metrics import METRICS
from common.errors import ColourbenchError
from common.files.names import KEY
from studies.home import Home


def begin(home: Home, study: str, design: Design, folder: Path, arms: Sequence[str] = (), *, sheets: bool) -> RatingStudy:
    """Begins the human study of a compared study; one of the same design and arms that exists already is opened as it is.

    Args:
        sheets: whether sheets are written; without them the study is for the page.

    Raises:
        ColourbenchError: the folder holds another study, or the design does not fit the photographs.
    """
    photographs = material(results.load(home.store, home.data, study), arms)
    if (folder / KEY).exists():
        there = RatingStudy(folder)
        if (there.key.study, there.key.design, list(there.key.arms)) == (photographs.study, design, list(photographs.arms)):
            return there  # seeds may have been added since
    return RatingStudy.create(photographs, design, folder, handout.write if sheets else None)


def metrics_of(home: Home, study: str) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """The study's metrics by image, arm and seed, and which of them say how good colours are; None if the runs are not here."""
    try:
        table = results.load(home.store, home.data, study).table
    except ColourbenchError:
        return None, ()
    return table, tuple(name for name, metric in METRICS.items() if metric.direction and name in table)

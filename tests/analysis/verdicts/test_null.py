"""From per-image parquet files to the verdict: arms that are the same method are called different at the nominal rate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.results import Results
from analysis.statistics import differences
from analysis.verdicts.verdict import verdict
from common.colour.metrics import MEASURED
from common.system.names import PER_IMAGE
from common.tracking import Run

PHOTOGRAPHS, TILES, SEEDS = 40, 2, 3


class Cell(Run):
    """A finished run without a store: a folder with a parquet file, and tags."""

    def __init__(self, folder: Path, arm: str, seed: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self.tags, self.metrics = (
            folder,
            {"arm": arm, "seed": str(seed)},
            {"seconds": 60.0},
        )

    @property
    def folder(self) -> Path:
        return self._folder


def study(folder: Path, draw: np.random.Generator, deviation: float, shift: float = 0.0) -> Results:
    """Two arms as `compare` leaves them; the second lies `shift` higher. Two images of each photograph."""
    shared, cells = draw.normal(0, 2, PHOTOGRAPHS), []
    for number, arm in enumerate(("one", "other")):
        likes = draw.normal(0, 0.5, PHOTOGRAPHS)
        for seed in range(SEEDS):
            cell = Cell(folder / f"{arm}-{seed}", arm, seed)
            level = 12 + shift * number + shared + likes + draw.normal(0, deviation)
            values = level[:, None] + draw.normal(0, 0.7, (PHOTOGRAPHS, TILES))
            places = [(p, t) for p in range(PHOTOGRAPHS) for t in range(TILES)]
            given = {
                "image": [f"{p}#{t}" for p, t in places],
                "photograph": [f"{p}" for p, _ in places],
                "label": "",
            }
            pd.DataFrame(given | dict.fromkeys(MEASURED, values.ravel())).to_parquet(
                cell.folder / PER_IMAGE, index=False
            )
            cells.append(cell)
    settings: dict[str, Any] = {
        "question": "",
        "primary": "delta_e",
        "margin": 0.5,
        "arms": {"one": {}, "other": {}},
        "baselines": [],
    }
    # the data set, of which only the photographs of a report are taken, is left out
    results: Results = object.__new__(Results)
    vars(results).update(name="null", settings=settings, cells=cells, parent=None, others=())
    return results


def outcome(results: Results) -> str:
    (answer,) = verdict(
        results, differences.all_pairs(results.scores("delta_e"), resamples=100)
    ).answers
    return json.loads(json.dumps(answer.outcome))  # type: ignore[no-any-return]


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_the_same_method_twice_is_called_better_in_about_five_per_cent(
    deviation: float, tmp_path: Path
) -> None:
    draw, studies = np.random.default_rng(11), 60
    called = [
        outcome(study(tmp_path / str(number), draw, deviation)).endswith("better")
        for number in range(studies)
    ]
    assert np.mean(called) <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_what_is_there_is_found(tmp_path: Path) -> None:
    draw = np.random.default_rng(12)
    called_better = [
        outcome(study(tmp_path / str(number), draw, 0.2, shift=2.0)) == "better"
        for number in range(20)
    ]
    assert np.mean(called_better) >= 0.9

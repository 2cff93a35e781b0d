"""The best generator for a data set, in MLflow's model registry: `models:/colouriser-DATASET@champion`.

A sweep's winner is registered as a version. It becomes the champion only if a paired test on the validation split shows that it is
better than the current champion: a lucky figure is not enough, and the test split is not for selection. The test compares these two
networks, not their methods.
"""

from dataclasses import dataclass

import pandas as pd
import torch

from analysis.evaluation import splits
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL
from common.data.shards import Dataset
from common.system import integrity
from common.tracking import Run, model_name
from studies.home import Home
from studies.runs.model import load_run
from variants.players.colouriser import Colouriser
from variants.players.program import Program

METRIC = "delta_e"
# of one data set's split: another preparation parts photographs otherwise
SCORES = "validation-{split}.parquet"


@dataclass(frozen=True)
class Verdict:
    """The decision about a candidate."""

    model: str
    version: str
    crowned: bool
    reason: str


def propose(home: Home, run: Run, dataset: Dataset) -> Verdict:
    """Registers a trained run's generator and decides whether it becomes the champion."""
    name = model_name(dataset.name)
    champion = home.store.champion(name)
    colouriser, _ = load_run(run, "cpu")
    scores = _scores(run, colouriser, dataset)
    L = torch.zeros(2, 1, colouriser.size, colouriser.size)
    version = home.store.register(name, run, Program(colouriser.network), L)
    crowned, reason = _is_better(scores, champion, run, dataset)
    if crowned:
        home.store.crown(name, version)
    return Verdict(name, version, crowned, reason)


def _is_better(
    scores: pd.DataFrame, champion: Run | None, run: Run, dataset: Dataset
) -> tuple[bool, str]:
    if champion is None:
        return True, "the first of its data set"
    if champion.id == run.id:
        return True, "the champion still"
    before = _scores(champion, load_run(champion, "cpu")[0], dataset)
    both = pd.concat([scores.assign(arm="candidate"), before.assign(arm="champion")]).assign(
        seed=0, fixed=False
    )
    paired_test = differences.difference(both, METRIC, "candidate", "champion")
    difference = f"ΔE₀₀ {paired_test.estimate:+.3f} against it on the validation split"
    if paired_test.photographs < 2:
        return (
            False,
            f"{difference}, which is too small to tell: {paired_test.photographs} photograph(s)",
        )
    reason = f"{difference} [{paired_test.runs_low:+.3f}, {paired_test.runs_high:+.3f}], p = {paired_test.runs_p:.3f}"
    return paired_test.runs_p < LEVEL and paired_test.estimate < 0, reason


def _scores(run: Run, colouriser: Colouriser, dataset: Dataset) -> pd.DataFrame:
    """Returns a run's metrics, image by image, on the validation split."""
    path = run.folder / SCORES.format(split=dataset.fingerprint[:16])
    try:
        return integrity.read_table(path, ("photograph", METRIC), "it is computed again")
    except integrity.Damaged:
        table = splits.evaluate(
            colouriser, dataset.split("validation"), colouriser.engine.device
        ).table
        table.to_parquet(path, index=False)
        return table

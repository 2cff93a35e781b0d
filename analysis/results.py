"""A finished study as tables: reads its runs through the tracker, and the photographs that the runs kept."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8

from analysis import evaluation
from common import kept
from common.errors import ColourbenchError
from common.shards import Dataset, Split
from common.tracking import Run, Store

PER_IMAGE = "metrics.parquet"
SAMPLES = "samples.npy"
SCORED = (PER_IMAGE, SAMPLES)  # what a run on the test split leaves
STUDY = "study.json"
COLUMNS = ("image", "photograph", "label", *evaluation.METRICS)
REMEDY = "run `colourbench compare STUDY.yaml --retrain` to make it again"
WITHOUT = "without label"  # how the arm is called that scores a conditional generator with its labels withheld
DECLARED = "declared_at"  # tag of the same run, and a field of study.json: when primary metric and margin were fixed
COMPARED = "compared_at"  # tag of the run that stands for a study
CURVES = ("validation/delta_e", "validation/psnr_rgb", "validation/colourfulness", "seconds", "updates")


@dataclass(frozen=True)
class Results:
    """The finished cells (arm x seed) of a study, its settings and its data set."""

    name: str
    settings: dict[str, Any]
    dataset: Dataset
    cells: list[Run]
    parent: Run | None = None  # that stands for the study

    @cached_property
    def table(self) -> pd.DataFrame:
        """Per-image metrics of every arm and seed."""
        parts = [
            kept.read_table(run.folder / PER_IMAGE, COLUMNS, REMEDY).assign(
                arm=run.tags["arm"], seed=int(run.tags["seed"]), baseline=run.tags.get("baseline") == "yes"
            )
            for run in self.cells
        ]
        return pd.concat(parts, ignore_index=True)

    @property
    def trained(self) -> list[Run]:
        """The cells that were trained: neither a baseline nor another look at a trained one."""
        return [run for run in self.cells if run.tags.get("baseline") != "yes" and "view_of" not in run.tags]

    @property
    def arms(self) -> list[str]:
        """Arms in the study's order."""
        return list(dict.fromkeys(run.tags["arm"] for run in self.cells))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Validation curves: columns arm, seed, images, seconds, updates and the metrics."""
        parts = [run.curves(CURVES).dropna().assign(arm=run.tags["arm"], seed=int(run.tags["seed"])) for run in self.trained]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def samples(self, arm: str) -> UInt8[np.ndarray, "n h w 3"]:
        """An arm's colourised sample photographs, of its first seed."""
        run = next(run for run in self.cells if run.tags["arm"] == arm)
        return kept.read_photographs(run.folder / SAMPLES, REMEDY)

    @cached_property
    def truth(self) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs in their true colours, after the same Lab round trip."""
        return self._shown[1]

    @cached_property
    def grey(self) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs as the networks see them, without colour."""
        return self._shown[0]

    @cached_property
    def _shown(self) -> tuple[UInt8[np.ndarray, "n h w 3"], UInt8[np.ndarray, "n h w 3"]]:
        batches = list(evaluation.colourised(evaluation.grey, self._test, self._places, "cpu"))
        grey = torch.cat([images for _, images, _ in batches]).permute(0, 2, 3, 1).numpy()
        truth = torch.cat([images for _, _, images in batches]).permute(0, 2, 3, 1).numpy()
        return np.ascontiguousarray(grey), np.ascontiguousarray(truth)

    @property
    def sample_names(self) -> list[str]:
        """The sample photographs' names, `file#tile`."""
        entries = self._test.entries()
        return [f"{entries[place].photograph}#{entries[place].tile}" for place in self._places]

    @property
    def _test(self) -> Split:
        return self.dataset.split("test")

    @property
    def _places(self) -> np.ndarray:
        return evaluation.sample_places(self._test, len(self.samples(self.arms[0])))


def load(store: Store, data: Path, name: str) -> Results:
    """The results of the study `name`.

    Raises:
        ColourbenchError: no such study, or none of its cells is finished.
    """
    parents = store.find(name, {"kind": "comparison"})
    if not parents:
        known = ", ".join(store.studies()) or "none yet"
        raise ColourbenchError(f"there is no compared study {name!r}; run `colourbench compare STUDY.yaml` first (known: {known})")
    parent = max(parents, key=lambda run: run.tags.get(COMPARED, ""))  # a study may have been run under several budgets
    settings = kept.read_json(parent.folder / STUDY, "run `colourbench compare STUDY.yaml` to write it again")
    settings = {"primary": "delta_e", "margin": 0.5, **settings}  # of a study that ran before it had to name them
    cells = [run for run in store.find(name, {"kind": "cell"}) if _is_planned(run, settings["cells"])]
    arms = [name for arm in settings["arms"] for name in (arm, f"{arm} {WITHOUT}")]
    order = {arm: number for number, arm in enumerate([*settings["baselines"], *arms])}
    cells = sorted(cells, key=lambda run: (order[run.tags["arm"]], int(run.tags["seed"])))
    if not any(run.tags.get("baseline") != "yes" for run in cells):
        raise ColourbenchError(f"no run of the study {name!r} is finished; run `colourbench compare` again to go on")
    return Results(name, settings, _dataset(data, settings, cells), cells, parent)


def _is_planned(run: Run, cells: dict[str, str]) -> bool:
    """Finished, and with the settings of the last comparison: an arm that was changed since has older runs too."""
    return run.status == "FINISHED" and cells.get(run.name) == run.tags["config_sha256"]


def _dataset(data: Path, settings: dict[str, Any], cells: list[Run]) -> Dataset:
    dataset = Dataset(data / settings["dataset"])
    if dataset.fingerprint != cells[0].tags["dataset_sha256"]:
        raise ColourbenchError(
            f"the data set {dataset.name} was prepared anew after this study ran; compare again, or prepare it as it was"
        )
    return dataset

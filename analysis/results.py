"""A finished study as tables: reads its runs through the tracker, and the photographs that the runs stored."""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8

from analysis.evaluation import splits
from analysis.metrics.distances import SetFigures
from analysis.statistics.scores import Scores, scores
from common.colour.metrics import METRICS
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError
from common.system import integrity
from common.system.names import CONDITIONS, PER_IMAGE, PERCEPTUAL, SAMPLES, SET_DISTANCES, STUDY
from common.tracking import Run, Store
from common.tracking.names import COMPARED, DECLARATIONS, OUTSIDE, WITHOUT

# metrics that some runs lack: those of an older version, or without the weights
MEASURED_LATER = (
    "bleeding",
    "lpips",
)
COLUMNS = (
    "image",
    "photograph",
    "label",
    *(name for name in METRICS if name not in MEASURED_LATER),
)
REMEDY = "run `colourbench compare STUDY.yaml --retrain` to make it again"
CURVES = (
    "validation/delta_e",
    "validation/psnr_rgb",
    "validation/colourfulness",
    "seconds",
    "updates",
)


@dataclass(frozen=True)
class Results:
    """The finished cells (arm x seed) of a study, its settings and its data set."""

    name: str
    settings: dict[str, Any]
    dataset: Dataset
    cells: list[Run]
    parent: Run | None = None  # the tracked run that represents the study
    # descriptions of other comparisons of the same name, whose runs are not included
    others: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """Per-image metrics of every arm and seed; `fixed` marks arms without seeds."""
        return pd.concat([_of_one(run) for run in self.cells], ignore_index=True)

    def scores(self, metric: str) -> Scores:
        """One metric as matrices of seeds x photographs, computed once."""
        if metric not in self._scores:
            self._scores[metric] = scores(self.table, metric)
        return self._scores[metric]

    @cached_property
    def _scores(self) -> dict[str, Scores]:
        return {}

    @property
    def trained(self) -> list[Run]:
        """The cells that were trained: no baseline, no arm of another program, and no second evaluation of a trained cell."""
        return [run for run in self.cells if not _is_fixed(run) and "view_of" not in run.tags]

    @cached_property
    def sets(self) -> pd.DataFrame:
        """Distances between sets of each cell that has them: columns arm, seed, network, frechet, kernel, their errors, n."""
        rows = [
            {"arm": run.tags["arm"], "seed": int(run.tags["seed"]), "network": network, **figures}
            for run in self.cells
            if (run.folder / SET_DISTANCES).is_file()
            for network, figures in integrity.read_json(run.folder / SET_DISTANCES, REMEDY).items()
        ]
        figures = [field.name for field in fields(SetFigures)]
        return pd.DataFrame(rows, columns=["arm", "seed", "network", *figures])

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """ΔE₀₀ and colourfulness of each image under other conditions, with arm and seed; empty if no run was tested so."""
        parts = [
            integrity.read_table(
                run.folder / CONDITIONS, ("condition", "photograph", "delta_e"), REMEDY
            ).assign(arm=run.tags["arm"], seed=int(run.tags["seed"]))
            for run in self.trained
            if (run.folder / CONDITIONS).is_file()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def finished_before(self) -> int:
        """How many runs were finished when the rules that now hold (primary metric, margin, budget, data set) were fixed."""
        finished = 0
        history: list[dict[str, Any]] = self.settings.get(DECLARATIONS, [])
        for before, after in pairwise(history):
            if before["rules"] != after["rules"]:
                finished = int(after["finished"])
        return finished

    @property
    def outside(self) -> list[str]:
        """Arms that were colourised by other programs."""
        return [run.tags["arm"] for run in self.cells if OUTSIDE in run.tags]

    @property
    def baselines(self) -> list[str]:
        """Arms that serve as a reference, which are never the best."""
        return [str(name) for name in self.settings["baselines"]]

    def seconds_a_seed(self, arm: str) -> float:
        """The training time of one seed of an arm, averaged over its seeds; 0 if nothing was trained."""
        seconds = [
            run.metrics.get("seconds", 0.0) for run in self.trained if run.tags["arm"] == arm
        ]
        return sum(seconds) / len(seconds) if seconds else 0.0

    def runs_of(self, arm: str) -> list[Run]:
        """The cells of an arm, by seed."""
        return [run for run in self.cells if run.tags["arm"] == arm]

    @property
    def arms(self) -> list[str]:
        """The arms in the study's order."""
        return list(dict.fromkeys(run.tags["arm"] for run in self.cells))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Validation curves: columns arm, seed, images, seconds, updates and the metrics."""
        parts = [
            run.curves(CURVES).dropna().assign(arm=run.tags["arm"], seed=int(run.tags["seed"]))
            for run in self.trained
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def samples(self, arm: str) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs as the first seed of an arm colourises them."""
        return self.samples_of(self.runs_of(arm)[0])

    def samples_of(self, run: Run) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs as one cell colourises them."""
        return integrity.read_photographs(run.folder / SAMPLES, REMEDY)

    @cached_property
    def truth(self) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs in their true colours, after the same Lab round trip."""
        return self._shown[1]

    @cached_property
    def grey(self) -> UInt8[np.ndarray, "n h w 3"]:
        """The sample photographs as the networks receive them, without colour."""
        return self._shown[0]

    @cached_property
    def _shown(self) -> tuple[UInt8[np.ndarray, "n h w 3"], UInt8[np.ndarray, "n h w 3"]]:
        batches = list(splits.colourised(splits.grey, self._test, self._places, "cpu"))
        grey = torch.cat([images for _, images, _ in batches]).permute(0, 2, 3, 1).numpy()
        truth = torch.cat([images for _, _, images in batches]).permute(0, 2, 3, 1).numpy()
        return np.ascontiguousarray(grey), np.ascontiguousarray(truth)

    @property
    def sample_names(self) -> list[str]:
        """The sample photographs' names, `file#tile`."""
        entries = self._test.entries()
        return [
            f"{entries[position].photograph}#{entries[position].tile}" for position in self._places
        ]

    @property
    def _test(self) -> Split:
        return self.dataset.split("test")

    @property
    def _places(self) -> np.ndarray:
        return self._test.spread(len(self.samples(self.arms[0])))


def load(store: Store, data: Path, name: str) -> Results:
    """Loads the results of the study `name`.

    Raises:
        ColourbenchError: there is no such study, or none of its cells is finished.
    """
    parents = store.find(name, {"kind": "comparison"})
    if not parents:
        known = ", ".join(store.studies()) or "none yet"
        raise ColourbenchError(
            f"there is no compared study {name!r}; run `colourbench compare STUDY.yaml` first (known: {known})"
        )
    # a study may have been run under several budgets
    parent = max(parents, key=lambda run: run.tags.get(COMPARED, ""))
    remedy = "run `colourbench compare STUDY.yaml` to write it again"
    settings = integrity.read_json(parent.folder / STUDY, remedy)
    # defaults for a study that ran before these were required
    settings = {"primary": "delta_e", "margin": 0.5, **settings}
    cells = _cells(store, name, settings)
    if all(_is_fixed(run) for run in cells):
        raise ColourbenchError(
            f"no run of the study {name!r} is finished; run `colourbench compare` again to go on"
        )
    others = tuple(_other(run) for run in parents if run.id != parent.id)
    return Results(name, settings, _dataset(data, settings, cells), cells, parent, others)


def _cells(store: Store, name: str, settings: dict[str, Any]) -> list[Run]:
    """The study's finished runs: baselines, then arms in the study's order, then by seed."""
    arms = [view for arm in settings["arms"] for view in (arm, f"{arm} {WITHOUT}")]
    order = {arm: number for number, arm in enumerate([*settings["baselines"], *arms])}
    runs = store.find(name, {"kind": "cell"})
    cells = [run for run in runs if _is_planned(run, settings["cells"])]
    return sorted(cells, key=lambda run: (order[run.tags["arm"]], int(run.tags["seed"])))


def _other(run: Run) -> str:
    """Describes a comparison of the same name with other declared settings: its runs are not comparable with these."""
    declared = ", ".join(
        f"{key} {run.params[key]}"
        for key in ("budget", "unit", "primary", "margin")
        if key in run.params
    )
    return (
        f"This study was also run on {run.tags.get('dataset', '?')} with {declared}. Those runs are not in this report: "
        "figures under other conditions do not compare."
    )


def _is_fixed(run: Run) -> bool:
    """Whether the run does not depend on a seed: a baseline, or an arm of another program."""
    return run.tags.get("baseline") == "yes" or OUTSIDE in run.tags


def _of_one(run: Run) -> pd.DataFrame:
    table = integrity.read_table(run.folder / PER_IMAGE, COLUMNS, REMEDY)
    later = {name: float("nan") for name in MEASURED_LATER if name not in table}
    arm = run.tags["arm"]
    table = table.assign(arm=arm, seed=int(run.tags["seed"]), fixed=_is_fixed(run), **later)
    table["networks"] = arm.removesuffix(f" {WITHOUT}")
    if (run.folder / PERCEPTUAL).is_file():
        table["lpips"] = integrity.read_table(run.folder / PERCEPTUAL, ["lpips"], REMEDY)[
            "lpips"
        ].to_numpy()
    return table


def _is_planned(run: Run, cells: dict[str, str]) -> bool:
    """Whether a run is finished and has the settings of the last comparison; an arm that was changed since has older runs too."""
    return run.status == "FINISHED" and cells.get(run.name) == run.tags["config_sha256"]


def _dataset(data: Path, settings: dict[str, Any], cells: list[Run]) -> Dataset:
    dataset = Dataset(data / settings["dataset"])
    if any(run.tags["dataset_sha256"] != dataset.fingerprint for run in cells):
        raise ColourbenchError(
            f"the data set {dataset.name} was prepared again after this study ran; compare again, or prepare it as it was"
        )
    return dataset

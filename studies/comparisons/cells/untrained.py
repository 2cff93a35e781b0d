"""The cells of a study that are scored but not trained: baselines, other programs' results, and runs whose labels are withheld."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from analysis.evaluation import splits
from analysis.evaluation.splits import Batches, Evaluation
from common.config import sha256
from common.data.shards import Dataset, Split
from common.system import integrity
from common.system.locks import locked
from common.system.names import SCORED
from common.tracking import Run
from common.tracking.names import OUTSIDE, REMARKS, WITHOUT
from studies.comparisons.cells.arms import Cell
from studies.comparisons.cells.outside import Outside
from studies.comparisons.cells.outside import read as read_folder
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.finish import SAMPLE_IMAGES, write_evaluation
from studies.runs.model import evaluate, load_run


@dataclass(frozen=True)
class Comparison:
    """A study while it runs."""

    home: Home
    study: Study
    dataset: Dataset
    parent: Run

    @property
    def test(self) -> Split:
        """The split on which every cell is scored."""
        return self.dataset.split("test")

    def open_cell(
        self, name: str, arm: str, identity: str, tags: dict[str, str], params: dict[str, str]
    ) -> Run:
        """Opens the run of a cell that needs no training."""
        common = {
            "kind": "cell",
            "seed": "0",
            "dataset": self.study.dataset,
            "dataset_sha256": self.dataset.fingerprint,
        }
        own = {"arm": arm, "config_sha256": identity, **tags}
        return self.home.store.open_run(self.study.name, name, common | own, params, self.parent)


def identities(
    comparison: Comparison, planned: list[Cell], outside: dict[str, Outside]
) -> dict[str, str]:
    """Returns the settings hash of every cell that needs no training, by the name of its run."""
    labelled = [cell for cell in planned if cell.config.variant.generator.labels]
    return (
        {
            without_label(cell.name): _unlabelled_identity(cell, comparison.dataset)
            for cell in labelled
        }
        | {name: _baseline_identity(name, comparison) for name in comparison.study.baselines}
        | {
            name: _outside_identity(folder_results, comparison)
            for name, folder_results in outside.items()
        }
    )


def run_baseline(comparison: Comparison, name: str) -> None:
    """Scores a baseline: it needs no training, and one seed stands for all."""
    tags = {"baseline": "yes", "variant": name}
    run = comparison.open_cell(
        name, name, _baseline_identity(name, comparison), tags, {"baseline": name}
    )
    _score_once(
        comparison,
        run,
        lambda: splits.evaluate(
            baseline(name, comparison.dataset), comparison.test, samples=SAMPLE_IMAGES
        ),
    )


def baseline(name: str, dataset: Dataset) -> splits.Colourise:
    """Returns the colourising function of the baseline of that name."""
    return (
        splits.grey if name == "grey" else splits.constant(splits.mean_ab(dataset.split("train")))
    )


def read_outside(study: Study, dataset: Dataset) -> dict[str, Outside]:
    """Reads what other programs coloured, and matches it with the test images.

    Raises:
        ColourbenchError: a folder does not exist, or does not have exactly one result for each test image.
    """
    return {
        name: read_folder(folder, dataset.split("test")) for name, folder in study.outside.items()
    }


def score_outside(comparison: Comparison, name: str, outside: Outside) -> list[str]:
    """Scores another program's folder and returns what a reader must know about it."""
    tags = {OUTSIDE: str(outside.folder.resolve()), "variant": "outside"}
    run = comparison.open_cell(
        name, name, _outside_identity(outside, comparison), tags, {"images": str(outside.folder)}
    )

    def score() -> Evaluation:
        scored = splits.measure(outside.batches(), comparison.test, SAMPLE_IMAGES)
        run.tag(**{REMARKS: "\n".join(outside.remarks)})
        return scored

    _score_once(comparison, run, score)
    return outside.remarks


def score_without_labels(comparison: Comparison, cell: Cell, trained: Run) -> None:
    """Scores a run that was trained with labels a second time, as an arm of its own, with its labels withheld."""
    tags = {"seed": str(cell.seed), "view_of": trained.id, "variant": cell.config.variant.name}
    identity = _unlabelled_identity(cell, comparison.dataset)
    run = comparison.open_cell(
        without_label(cell.name), without_label(cell.arm), identity, tags, {"labels": "withheld"}
    )
    with locked(run.folder / ".lock"):
        if not _is_scored(comparison, run):
            colouriser, _ = load_run(trained, cell.config.engine.device)
            write_evaluation(
                run, evaluate(colouriser, comparison.test, labelled=False, samples=SAMPLE_IMAGES)
            )
            _end(run)


def without_label(name: str) -> str:
    """Returns the name of a run or an arm whose labels are withheld."""
    return f"{name} {WITHOUT}"


def coloured(home: Home, run: Run, dataset: Dataset) -> Batches:
    """Yields the test split as a finished cell colours it, trained or not, for metrics that are measured later."""
    test = dataset.split("test")
    indices = torch.arange(len(dataset.split("test"))).numpy()
    if OUTSIDE in run.tags:
        return read_folder(Path(run.tags[OUTSIDE]), test).batches()
    if run.tags.get("baseline") == "yes":
        return splits.colourised(baseline(run.tags["arm"], dataset), test, indices, "cpu")
    view = run.tags.get("view_of")
    colouriser, config = load_run(home.store.run(view) if view else run)
    labelled = config.variant.generator.labels and not view
    return splits.colourised(colouriser, test, indices, colouriser.engine.device, labelled)


def _score_once(comparison: Comparison, run: Run, score: Callable[[], Evaluation]) -> None:
    with locked(run.folder / ".lock"):
        if not _is_scored(comparison, run):
            write_evaluation(run, score())
            _end(run)


def _is_scored(comparison: Comparison, run: Run) -> bool:
    """Whether an untrained cell is finished and its files are intact; if not, scoring it again is cheap."""
    if comparison.home.store.run(run.id).status != "FINISHED":
        return False
    try:
        integrity.check_sealed(run.folder, SCORED, "")
    except integrity.Damaged:
        return False
    return True


def _end(run: Run) -> None:
    integrity.seal(run.folder, SCORED)
    run.finish()


def _baseline_identity(name: str, comparison: Comparison) -> str:
    return sha256([name, comparison.dataset.fingerprint, comparison.parent.id])


def _outside_identity(folder_results: Outside, comparison: Comparison) -> str:
    return sha256([folder_results.fingerprint, comparison.dataset.fingerprint])


def _unlabelled_identity(cell: Cell, dataset: Dataset) -> str:
    return sha256([cell.config.identity(dataset.fingerprint), WITHOUT])

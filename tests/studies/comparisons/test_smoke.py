"""Every study of the suite in miniature, each arm, and its report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.figures import condition_figures, study_figures
from analysis.report import classes, conditions, study_tables
from analysis.report.report import warnings
from analysis.results import Results, load
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.tracking.names import WITHOUT
from studies.comparisons.cells.arms import cells
from studies.comparisons.compare import compare
from studies.comparisons.smoke import smoke_study
from studies.comparisons.study import read
from studies.home import Home
from studies.sweeps.outcome import untuned

STUDIES = sorted((Path(__file__).resolve().parents[3] / "studies").glob("*.yaml"))
ASKED = {
    "variants",
    "reconstruction",
    "backbones",
    "pretraining",
    "nogan",
    "labels",
    "deoldify",
    "dataset_size",
}


def test_the_studies_of_the_source_projects_are_there() -> None:
    assert {path.stem for path in STUDIES} >= ASKED


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_says_what_it_asks_and_every_arm_is_valid(path: Path) -> None:
    study = read(path)
    assert study.name == path.stem
    assert all(len(text) > 60 for text in (study.question, study.source, study.settled_by))
    assert {cell.arm for cell in cells(study, untuned)} == set(study.arms)


# a dozen encoders, 200 M parameters, many conditions: with `make integration`
LARGE = (
    "backbones",
    "deoldify",
    "film",
    "hints",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=[pytest.mark.integration] if path.stem in LARGE else []
        )
        for path in STUDIES
    ],
)
def test_runs_in_miniature(
    path: Path, home: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.comparisons.smoke.IMAGES", 32)
    rooms = Home(home)
    study = smoke_study(read(path), dataset.name).model_copy(update={"seeds": (0,)})
    failures: list[ColourbenchError] = compare(rooms, study, lambda text: None)
    assert failures == []
    results = load(rooms.store, rooms.data, study.name)
    assert [arm for arm in results.arms if not arm.endswith(WITHOUT)] == [
        *study.baselines,
        *study.arms,
    ]
    assert not any("not finished" in text for text in warnings(results))
    for run in results.trained:
        assert run.metrics["images"] >= study.budget.amount
    if check := SPECIAL.get(path.stem):
        check(results)


def labels_are_reported(results: Results) -> None:
    """A table by class, and arms without label."""
    per_class = classes.per_class(results)
    rows = {tuple(row) for row in per_class.iloc[:, :4].astype(str).to_numpy().tolist()}
    assert ("field", "delta_e", "labels", "none") in rows and (
        "sea",
        "delta_e",
        "labels",
        "labels without label",
    ) in rows
    assert (
        len(classes.readable(per_class)) == len(per_class)
        and not study_tables.diversity(results).empty
    )


def the_critics_accuracy_is_drawn(results: Results) -> None:
    """And where adversarial training stopped; there is no table by class where no arm knows labels."""
    assert study_figures.critic_accuracy(results) is not None and classes.per_class(results).empty


def hints_are_reported(results: Results) -> None:
    """A table and a figure of ΔE₀₀ against the number of hints; an arm that takes none has one entry."""
    table = conditions.hints(conditions.by_condition(results))
    assert (
        table.groupby("arm")["condition"].count()
        == pd.Series({"cgan": 1, "cgan hints": 7, "l1": 1, "l1 hints": 7})
    ).all()
    assert "50 hints" in conditions.readable(table) and condition_figures.hints(table) is not None
    assert conditions.films(table).empty


def films_are_reported(results: Results) -> None:
    """A table and a figure of ΔE₀₀ on each film; the first condition is the plain test, so its figure is the headline's."""
    table = conditions.films(conditions.by_condition(results))
    assert table["condition"].nunique() == 6 and condition_figures.films(table) is not None
    plain = table[table["condition"] == "none"].set_index("arm")["delta_e"]
    tested = results.table[~results.table["fixed"]].groupby("arm")["delta_e"].mean()
    assert np.allclose(plain, tested[plain.index], atol=1e-6)
    assert "orthochromatic" in conditions.readable(table)


SPECIAL = {
    "labels": labels_are_reported,
    "nogan": the_critics_accuracy_is_drawn,
    "hints": hints_are_reported,
    "film": films_are_reported,
}

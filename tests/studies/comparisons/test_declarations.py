"""What a study is called stands for one definition: what changes after its runs is refused or said."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import results
from analysis.people.design import Design
from analysis.report import people, report
from analysis.verdicts.remarks import remarks
from common.errors import ColourbenchError
from studies.comparisons import reports
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study
from studies.home import Home
from studies.people.study import RatingStudy

MakeStudy = Callable[..., Study]


def test_a_changed_arm_replaces_its_older_runs_in_the_report(
    home: Path, make_study: MakeStudy
) -> None:
    rooms = Home(home)
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    compare(rooms, make_study(arms=arms), lambda text: None)
    changed = {"l1_only": {"variant": {"name": "regression", "reconstruction": "l2"}}}
    compare(
        rooms, make_study(arms=changed, seeds=[0]), lambda text: None, CompareOptions(replace=True)
    )
    study_results = results.load(rooms.store, rooms.data, "fair")
    assert [
        (run.name, run.params.get("variant.reconstruction.loss"))
        for run in study_results.cells
        if run.tags.get("baseline") != "yes"
    ] == [("l1_only seed 0", "l2")]
    assert not study_results.table.duplicated(["arm", "seed", "image"]).any()


def test_another_budget_is_another_comparison_with_its_own_baselines(
    home: Path, make_study: MakeStudy
) -> None:
    rooms = Home(home)
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    compare(rooms, make_study(arms=arms, seeds=[0]), lambda text: None)
    compare(
        rooms,
        make_study(arms=arms, seeds=[0], budget={"amount": 3, "unit": "updates"}),
        lambda text: None,
    )
    study_results = results.load(rooms.store, rooms.data, "fair")
    assert study_results.settings["budget"]["unit"] == "updates" and study_results.arms == [
        "grey",
        "mean",
        "l1_only",
    ]
    (other,) = [line for line in remarks(study_results) if not line.startswith("Declared anew")]
    assert (
        "This study was also run on fields-32 with budget 24.0, unit images" in other
        and other in report.warnings(study_results)
    )
    compare(rooms, make_study(arms=arms, seeds=[0]), lambda text: None)
    assert results.load(rooms.store, rooms.data, "fair").settings["budget"]["unit"] == "images"


def test_seeds_added_by_hand_after_a_look_are_said(home: Path, make_study: MakeStudy) -> None:
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    compare(Home(home), make_study(arms=arms, seeds=[0]), lambda text: None)
    assert remarks(results.load(Home(home).store, Home(home).data, "fair")) == []
    compare(Home(home), make_study(arms=arms, seeds=[0, 1]), lambda text: None)
    (remark,) = remarks(results.load(Home(home).store, Home(home).data, "fair"))
    assert "more seeds of l1_only" in remark and "19 %" in remark


def test_a_changed_margin_is_a_new_study_that_keeps_the_runs(
    home: Path, make_study: MakeStudy
) -> None:
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    said: list[str] = []
    for margin in (0.5, 0.5, 1.0):
        assert compare(Home(home), make_study(arms=arms, margin=margin), said.append) == []
    assert sum("this is a new study, declared now" in line for line in said) == 1
    parents = Home(home).store.find("fair", {"kind": "comparison"})
    # its two seeds, trained once
    assert len(parents) == 2 and len(Home(home).store.find("fair", {"arm": "l1_only"})) == 2
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    assert study_results.settings["margin"] == 1.0 and len(study_results.trained) == 2
    text = reports.report(Home(home), "fair").read_text()
    # two seeds and two baselines
    assert "when 4 runs were finished already" in text and "before the first run" not in text
    (remark,) = [line for line in remarks(study_results) if line.startswith("Declared anew")]
    assert "when 4 runs were finished: margin 1.0 in place of 0.5" in remark


def test_a_name_stands_for_one_definition(home: Path, make_study: MakeStudy) -> None:
    """Other settings under the names of finished runs are refused, unless asked for; then the report says it."""
    rate = "variant.generator.adam.learning_rate"
    one, other = (
        make_study(
            arms={
                "l1_only": {
                    "variant": {"name": "regression", "generator": {"adam": {"learning_rate": r}}}
                }
            },
            seeds=[0],
        )
        for r in (1e-3, 2e-3)
    )
    assert compare(Home(home), one, lambda text: None) == []
    with pytest.raises(
        ColourbenchError, match="has 1 finished runs of l1_only with other settings"
    ):
        compare(Home(home), other, lambda text: None)
    kept = results.load(Home(home).store, Home(home).data, "fair")
    # the refusal changed nothing
    assert [run.params[rate] for run in kept.trained] == ["0.001"]
    assert compare(Home(home), other, lambda text: None, CompareOptions(replace=True)) == []
    replaced = results.load(Home(home).store, Home(home).data, "fair")
    assert [run.params[rate] for run in replaced.trained] == ["0.002"]
    assert any("other settings of l1_only" in line for line in remarks(replaced))


def test_peoples_answers_belong_to_the_runs_that_they_saw(
    home: Path, make_study: MakeStudy
) -> None:
    """Once a run is trained again, the report leaves the answers about its old network out, and says so."""
    opened = Home(home)
    study = make_study(arms={"l1_only": {"variant": {"name": "regression"}}}, seeds=[0, 1])
    compare(opened, study, lambda text: None)
    compared = results.load(opened.store, opened.data, "fair")
    folder = opened.ratings("fair")
    rated = RatingStudy.begin(compared, Design("single", 0, 4), folder)
    (folder / "tables").mkdir()
    rated.key.shown_runs.to_csv(folder / "tables" / "runs.csv", index=False)
    pd.DataFrame({"arm": ["l1_only"]}).to_csv(folder / "tables" / "about.csv", index=False)
    assert people.replaced_runs(folder, compared) == []
    assert set(reports._people(opened, compared)[0]) == {"people_about"}
    changed = {"variant": {"name": "regression", "generator": {"adam": {"learning_rate": 1e-3}}}}
    other = make_study(arms={"l1_only": changed}, seeds=[0, 1])
    compare(opened, other, lambda text: None, CompareOptions(replace=True))
    again = results.load(opened.store, opened.data, "fair")
    assert people.replaced_runs(folder, again) == ["l1_only seed 0", "l1_only seed 1"]
    tables, (remark,) = reports._people(opened, again)
    assert tables == {} and "l1_only seed 0, l1_only seed 1 were trained again" in remark


def test_a_pilot_trains_the_first_seeds_and_leaves_the_study_as_it_was_declared(
    home: Path, make_study: MakeStudy
) -> None:
    wanted = make_study(arms={"l1_only": {"variant": {"name": "regression"}}}, seeds=[0, 1, 2])
    assert compare(Home(home), wanted, lambda text: None, CompareOptions(pilot=1)) == []
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    # three seeds and two baselines
    assert len(study_results.trained) == 1 and len(study_results.settings["cells"]) == 5

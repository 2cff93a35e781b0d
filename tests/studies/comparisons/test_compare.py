"""A study from its YAML to its report."""

import json
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis import results
from analysis.ratings.design import Design
from analysis.ratings.sheets import handout
from analysis.ratings.study import RatingStudy
from analysis.report import report
from common.config import parse
from common.errors import ColourbenchError
from studies.comparisons import compare as module
from studies.comparisons import reports
from studies.comparisons.arms import cells
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study, read
from studies.home import Home
from studies.runs.life import train_run
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep

NETWORK = {"network": {"base_width": 4}}


def study(**fields: object) -> Study:
    data = {
        "name": "fair",
        "question": "Which?",
        "dataset": "fields-32",
        "budget": {"amount": 24, "unit": "images"},
        "seeds": [0, 1],
        "defaults": {
            "batches": {"size": 4},
            "engine": {"device": "cpu", "precision": "32", "threads": 1},
            "watch": {"validations": 2, "preview_images": 0},
            "variant": {"generator": NETWORK},
        },
        "arms": {
            "l1_only": {"variant": {"name": "regression"}},
            "cgan": {"variant": {"name": "cgan", "critic": NETWORK}},
            "egan": {"variant": {"name": "egan", "critic": NETWORK}},
        },
    }
    return parse(Study, data | fields, "study")


def no_sweeps(name: str) -> dict[str, object]:
    raise AssertionError(name)


@pytest.fixture(scope="module")
def compared(dataset_home: Path) -> Home:
    """A home in which the study has run."""
    home = Home(dataset_home)
    assert compare(home, study(), lambda text: None) == []
    return home


@pytest.fixture(scope="module")
def page(compared: Home) -> Path:
    """Its report."""
    return reports.report(compared, "fair")


@pytest.fixture(scope="module")
def dataset_home(dataset: object, fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("compared")
    shutil.copytree(dataset.folder.parent, home / "data")  # type: ignore[attr-defined]
    shutil.copy(fresh_store, home / "mlflow.db")
    return home


def test_every_arm_and_seed_has_a_run_and_baselines_one(compared: Home) -> None:
    runs = compared.store.find("fair", {"kind": "cell"})
    statuses = sorted((run.tags["arm"], run.tags["seed"], run.status) for run in runs)
    trained = [(arm, seed, "FINISHED") for arm in ("cgan", "egan", "l1_only") for seed in "01"]
    assert statuses == sorted([*trained, ("grey", "0", "FINISHED"), ("mean", "0", "FINISHED")])
    assert {run.metrics["images"] for run in runs if run.tags["arm"] not in ("grey", "mean")} == {24.0}


def test_finished_cells_are_not_run_again(compared: Home) -> None:
    def written() -> dict[str, int]:
        return {
            run.name: (run.folder / "metrics.parquet").stat().st_mtime_ns for run in compared.store.find("fair", {"kind": "cell"})
        }

    before = written()
    assert compare(compared, study(), lambda text: None) == []
    assert written() == before and len(before) == 8


def test_a_changed_arm_replaces_its_older_runs_in_the_report(home: Path) -> None:
    rooms = Home(home)
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    compare(rooms, study(arms=arms), lambda text: None)
    changed = {"l1_only": {"variant": {"name": "regression", "reconstruction": "l2"}}}
    compare(rooms, study(arms=changed, seeds=[0]), lambda text: None)
    study_results = results.load(rooms.store, rooms.data, "fair")
    assert [
        (run.name, run.params.get("variant.reconstruction.loss"))
        for run in study_results.cells
        if run.tags.get("baseline") != "yes"
    ] == [("l1_only seed 0", "l2")]
    assert not study_results.table.duplicated(["arm", "seed", "image"]).any()


def test_one_arm_and_no_baseline_still_gives_a_report(home: Path) -> None:
    compare(Home(home), study(arms={"a+b_1": {"variant": {"name": "regression"}}}, baselines=[]), lambda text: None)
    html = reports.report(Home(home), "fair").read_text()
    assert "a+b_1" in html


def test_another_budget_is_another_comparison_with_its_own_baselines(home: Path) -> None:
    rooms = Home(home)
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    compare(rooms, study(arms=arms, seeds=[0]), lambda text: None)
    compare(rooms, study(arms=arms, seeds=[0], budget={"amount": 3, "unit": "updates"}), lambda text: None)
    study_results = results.load(rooms.store, rooms.data, "fair")
    assert study_results.settings["budget"]["unit"] == "updates" and study_results.arms == ["grey", "mean", "l1_only"]
    (other,) = study_results.remarks
    assert "This study was also run on fields-32 with budget 24.0, unit images" in other and other in report.warnings(study_results)
    compare(rooms, study(arms=arms, seeds=[0]), lambda text: None)
    assert results.load(rooms.store, rooms.data, "fair").settings["budget"]["unit"] == "images"


def test_more_seeds_join_the_same_study(compared: Home, tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(compared.path, tmp_path / "grown")))
    # artefacts are named absolutely in the store, so the copy still reads the first home's files
    compare(home, study(seeds=[0, 1, 2]), lambda text: None)
    assert len(home.store.find("fair", {"kind": "comparison"})) == 1
    assert len(home.store.find("fair", {"arm": "cgan"})) == 3


def test_the_report_has_everything(page: Path) -> None:
    html = page.read_text()
    assert all(word in html for word in ("l1_only", "cgan", "egan", "grey", "mean", "Which?", "ΔE₀₀", "Evolution"))
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html  # it opens without a network
    assert "Photographs are the unit" in html and "only 2 seeds" in html
    folder = page.parent
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {
        f"{name}.{suffix}" for name in ("gallery", "curves", "colourfulness", "mutations") for suffix in ("png", "svg")
    } <= names
    assert {f"{name}.{s}" for name in ("headline", "pairwise", "cost") for s in ("csv", "md", "tex")} <= {
        path.name for path in (folder / "tables").iterdir()
    }


def test_tables_equal_a_direct_computation(page: Path) -> None:
    folder = page.parent / "tables"
    headline = pd.read_csv(folder / "headline.csv").set_index("arm")
    images = pd.read_csv(folder / "per_image.csv")
    means = images.groupby("arm")["delta_e"].mean()
    assert headline["delta_e"].to_dict() == pytest.approx(means.to_dict())
    cf = images.groupby("arm")[["colourfulness", "colourfulness_truth"]].mean()
    assert headline["mean_colourfulness_difference"].to_dict() == pytest.approx((cf.iloc[:, 0] - cf.iloc[:, 1]).abs().to_dict())
    by_image = (images["colourfulness"] - images["colourfulness_truth"]).abs().groupby(images["arm"]).mean()
    assert headline["colourfulness_difference"].to_dict() == pytest.approx(by_image.to_dict())
    pairs = pd.read_csv(folder / "pairwise.csv")
    assert len(pairs[pairs["metric"] == "delta_e"]) == 10
    row = pairs[(pairs["metric"] == "delta_e") & (pairs["first"] == "l1_only") & (pairs["second"] == "cgan")].iloc[0]
    assert row["estimate"] == pytest.approx(means["l1_only"] - means["cgan"])
    assert r"\begin{tabular}" in (folder / "headline.tex").read_text()
    assert all(line.startswith("| ") and line.endswith(" |") for line in (folder / "headline.md").read_text().splitlines())


def test_rating_sheets_come_from_the_test_split(compared: Home) -> None:
    def begin(folder: str, arms: Sequence[str] = ()) -> RatingStudy:
        study_results = results.load(compared.store, compared.data, "fair")
        return RatingStudy.begin(study_results, Design("pair", 2, 6), compared.ratings(folder), arms, handout.write)

    rated = begin("fair")
    tests = {f"{entry.photograph}#{entry.tile}" for entry in compared.dataset("fields-32").split("test").entries()}
    assert {trial.image for trial in rated.key.trials} <= tests
    assert {trial.arm for trial in rated.key.trials if trial.kind == "test"} <= {"l1_only", "cgan", "egan"}
    assert begin("fair").key == rated.key  # the same command keeps them
    with pytest.raises(ColourbenchError, match="has no arm wgan"):
        begin("other", ["wgan"])


def test_a_failed_arm_does_not_stop_the_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = train_run

    def sometimes(store: object, dataset: object, config: object, place: object, *options: object) -> object:
        if place.name == "cgan seed 0":  # type: ignore[attr-defined]
            raise ColourbenchError("out of memory with batches.size=4")
        return original(store, dataset, config, place, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train_run", sometimes)
    arms = {name: fields for name, fields in study().arms.items() if name != "egan"}
    [failure] = compare(Home(home), study(arms=arms), lambda text: None)
    assert str(failure) == "cgan seed 0: out of memory with batches.size=4"
    assert len(Home(home).store.find("fair", {"kind": "cell"})) == 5
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    assert any("1 of 6 runs are not finished" in text for text in report.warnings(study_results))


def test_best_of_takes_a_sweeps_settings(home: Path) -> None:
    [cell] = [c for c in cells(study(seeds=[0]), no_sweeps) if c.arm == "cgan"]
    run_sweep(Home(home), Sweep(name="tuned", base=cell.config, trials=2), lambda text: None)
    arms = {"cgan": {"variant": {"name": "cgan"}, "best_of": "tuned"}}
    fields = {"variant": {"name": "cgan", "reconstruction_weight": 33.0}}
    [chosen] = cells(study(seeds=[4], arms=arms), lambda name: fields if name == "tuned" else {})
    assert chosen.config.variant.reconstruction_weight == 33.0 and chosen.config.seed == 4  # type: ignore[attr-defined]
    assert compare(Home(home), study(seeds=[0], arms=arms, baselines=[]), lambda text: None) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"a": {"variant": {"name": "vae"}}}}, "arm a: variant: .*'vae'"),
        ({"arms": {"a": {"variant": {"name": "cgan", "lambda": 3}}}}, r"variant\.lambda is not a known field"),
        ({"arms": {"a": {"variant": {"name": "cgan"}, "budget": {"amount": 3}}}}, "budget is the study's"),
    ],
)
def test_wrong_arms(change: dict[str, object], message: str) -> None:
    with pytest.raises(ColourbenchError, match=message):
        cells(study(**change), no_sweeps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {}}, "arms"),
        ({"arms": {"grey": {}}}, "cannot be an arm's name"),
        ({"arms": {"it's": {}}}, "cannot be an arm's name"),
        ({"seeds": [1, 1]}, "a seed stands twice"),
        ({"name": "a/b"}, "name"),
        ({"primary": "colourfulness"}, "primary decides, so it must be one of psnr_rgb"),
        ({"margin": 0}, "margin"),
        ({"arms": {"a": {}, "b": {"like": "c", "seeds": [7]}}}, "must name another arm"),
        ({"arms": {"a": {}, "b": {"like": ["a"], "seeds": [7]}}}, "must name another arm"),
        ({"arms": {"a": {}, "b": {"like": "a"}}}, "shares seed 0 with a"),
        ({"arms": {"a": {}, "b": {"like": "a", "seeds": [7]}, "c": {"like": "a", "seeds": [7]}}}, "shares seed 7 with b"),
        ({"arms": {"a": {"seeds": 3}}}, "different whole numbers"),
        ({"arms": {"a": {"seeds": [True]}}}, "different whole numbers"),
        ({"seed": 1}, "did you mean seeds"),
    ],
)
def test_wrong_studies(change: dict[str, object], message: str) -> None:
    with pytest.raises(ColourbenchError, match=message):
        study(**change)


@pytest.mark.parametrize("path", sorted(Path("studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_suite_are_valid(path: Path) -> None:
    declared = read(path)
    assert declared.name == path.stem and declared.question and declared.source and declared.settled_by
    assert cells(declared, no_sweeps)
    assert yaml.safe_load(path.read_text())["dataset"]


def test_arms_may_have_seeds_of_their_own_and_be_like_another() -> None:
    arms = {"cgan": {"variant": {"name": "cgan"}}, "again": {"like": "cgan", "seeds": [5, 6, 7]}}
    planned = cells(study(arms=arms, seeds=[0, 1]), no_sweeps)
    assert [(cell.arm, cell.seed) for cell in planned] == [("cgan", 0), ("again", 5), ("cgan", 1), ("again", 6), ("again", 7)]
    assert planned[0].config.variant == planned[1].config.variant


def test_the_verdict_is_written_beside_the_report_and_into_mlflow(compared: Home, page: Path) -> None:
    answer = json.loads((page.parent / "verdict.json").read_text())
    assert answer["primary"] == "delta_e" and answer["margin"] == 0.5 and answer["declared_at"]
    pairs = {(item["first"], item["second"]) for item in answer["answers"]}
    assert len(pairs) == 10 and ("l1_only", "cgan") in pairs
    [parent] = compared.store.find("fair", {"kind": "comparison"})
    assert all(item["text"] in parent.tags["mlflow.note.content"] for item in answer["answers"])
    assert all(escape(item["text"]) in page.read_text() for item in answer["answers"] if all(item["seeds"]))


def test_a_changed_margin_is_a_new_study_that_keeps_the_runs(home: Path) -> None:
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    said: list[str] = []
    for margin in (0.5, 0.5, 1.0):
        assert compare(Home(home), study(arms=arms, margin=margin), said.append) == []
    assert sum("this is a new study, declared now" in line for line in said) == 1
    parents = Home(home).store.find("fair", {"kind": "comparison"})
    assert len(parents) == 2 and len(Home(home).store.find("fair", {"arm": "l1_only"})) == 2  # its two seeds, trained once
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    assert study_results.settings["margin"] == 1.0 and len(study_results.trained) == 2


def test_a_pilot_trains_the_first_seeds_and_leaves_the_study_as_it_was_declared(home: Path) -> None:
    wanted = study(arms={"l1_only": {"variant": {"name": "regression"}}}, seeds=[0, 1, 2])
    assert compare(Home(home), wanted, lambda text: None, CompareOptions(pilot=1)) == []
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    assert len(study_results.trained) == 1 and len(study_results.settings["cells"]) == 5  # three seeds and two baselines


def test_a_study_that_never_ran(home: Path) -> None:
    with pytest.raises(ColourbenchError, match="run `colourbench compare"):
        reports.report(Home(home), "nothing")

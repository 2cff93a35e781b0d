"""A study from its YAML to its report."""

import json
import shutil
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis import results
from analysis.people.design import Design
from analysis.report import report
from common.errors import ColourbenchError
from studies.comparisons import reports
from studies.comparisons.cells import trained as module
from studies.comparisons.cells.arms import cells
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study, read
from studies.home import Home
from studies.people.sheets import handout
from studies.people.study import RatingStudy
from studies.runs.session import Session
from studies.runs.train import train_run
from studies.sweeps.outcome import Tuned

MakeStudy = Callable[..., Study]
NETWORK = {"network": {"base_width": 4}}


def no_sweeps(name: str) -> Tuned:
    raise AssertionError(name)


@pytest.fixture(scope="module")
def compared(dataset_home: Path, make_study: MakeStudy) -> Home:
    """A home in which the study has run."""
    home = Home(dataset_home)
    assert compare(home, make_study(), lambda text: None) == []
    return home


@pytest.fixture(scope="module")
def page(compared: Home) -> Path:
    """Its report."""
    return reports.report(compared, "fair")


@pytest.fixture(scope="module")
def dataset_home(
    dataset: object, fresh_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    home = tmp_path_factory.mktemp("compared")
    shutil.copytree(dataset.folder.parent, home / "data")  # type: ignore[attr-defined]
    shutil.copy(fresh_store, home / "mlflow.db")
    return home


def test_every_arm_and_seed_has_a_run_and_baselines_one(compared: Home) -> None:
    runs = compared.store.find("fair", {"kind": "cell"})
    statuses = sorted((run.tags["arm"], run.tags["seed"], run.status) for run in runs)
    trained = [(arm, seed, "FINISHED") for arm in ("cgan", "egan", "l1_only") for seed in "01"]
    assert statuses == sorted([*trained, ("grey", "0", "FINISHED"), ("mean", "0", "FINISHED")])
    assert {run.metrics["images"] for run in runs if run.tags["arm"] not in ("grey", "mean")} == {
        24.0
    }


def test_finished_cells_are_not_run_again(compared: Home, make_study: MakeStudy) -> None:
    def written() -> dict[str, int]:
        return {
            run.name: (run.folder / "metrics.parquet").stat().st_mtime_ns
            for run in compared.store.find("fair", {"kind": "cell"})
        }

    before = written()
    assert compare(compared, make_study(), lambda text: None) == []
    assert written() == before and len(before) == 8


def test_one_arm_and_no_baseline_still_gives_a_report(home: Path, make_study: MakeStudy) -> None:
    compare(
        Home(home),
        make_study(arms={"a+b_1": {"variant": {"name": "regression"}}}, baselines=[]),
        lambda text: None,
    )
    html = reports.report(Home(home), "fair").read_text()
    assert "a+b_1" in html


def test_more_seeds_join_the_same_study(
    compared: Home, tmp_path: Path, make_study: MakeStudy
) -> None:
    home = Home(Path(shutil.copytree(compared.path, tmp_path / "grown")))
    # artefacts are named absolutely in the store, so the copy still reads the first home's files
    compare(home, make_study(seeds=[0, 1, 2]), lambda text: None)
    assert len(home.store.find("fair", {"kind": "comparison"})) == 1
    assert len(home.store.find("fair", {"arm": "cgan"})) == 3


def test_the_report_has_everything(page: Path) -> None:
    html = page.read_text()
    assert all(
        word in html
        for word in ("l1_only", "cgan", "egan", "grey", "mean", "Which?", "ΔE₀₀", "Evolution")
    )
    # it opens without a network
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
    assert "Photographs are the unit" in html and "only 2 seeds" in html
    folder = page.parent
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {
        f"{name}.{suffix}"
        for name in ("gallery", "curves", "colourfulness", "mutations")
        for suffix in ("png", "svg")
    } <= names
    assert {
        f"{name}.{s}" for name in ("headline", "pairwise", "cost") for s in ("csv", "md", "tex")
    } <= {path.name for path in (folder / "tables").iterdir()}


def test_tables_equal_a_direct_computation(page: Path) -> None:
    folder = page.parent / "tables"
    headline = pd.read_csv(folder / "headline.csv").set_index("arm")
    images = pd.read_csv(folder / "per_image.csv")
    means = images.groupby("arm")["delta_e"].mean()
    assert headline["delta_e"].to_dict() == pytest.approx(means.to_dict())
    cf = images.groupby("arm")[["colourfulness", "colourfulness_truth"]].mean()
    assert headline["mean_colourfulness_difference"].to_dict() == pytest.approx(
        (cf.iloc[:, 0] - cf.iloc[:, 1]).abs().to_dict()
    )
    by_image = (
        (images["colourfulness"] - images["colourfulness_truth"])
        .abs()
        .groupby(images["arm"])
        .mean()
    )
    assert headline["colourfulness_difference"].to_dict() == pytest.approx(by_image.to_dict())
    pairs = pd.read_csv(folder / "pairwise.csv")
    assert len(pairs[pairs["metric"] == "delta_e"]) == 10
    row = pairs[
        (pairs["metric"] == "delta_e") & (pairs["first"] == "l1_only") & (pairs["second"] == "cgan")
    ].iloc[0]
    assert row["estimate"] == pytest.approx(means["l1_only"] - means["cgan"])
    assert r"\begin{tabular}" in (folder / "headline.tex").read_text()
    assert all(
        line.startswith("| ") and line.endswith(" |")
        for line in (folder / "headline.md").read_text().splitlines()
    )


def test_rating_sheets_come_from_the_test_split(compared: Home) -> None:
    def begin(folder: str, arms: Sequence[str] = ()) -> RatingStudy:
        study_results = results.load(compared.store, compared.data, "fair")
        return RatingStudy.begin(
            study_results, Design("pair", 2, 6), compared.ratings(folder), arms, handout.write
        )

    rated = begin("fair")
    tests = {
        f"{entry.photograph}#{entry.tile}"
        for entry in compared.dataset("fields-32").split("test").entries()
    }
    assert {trial.image for trial in rated.key.trials} <= tests
    assert {trial.arm for trial in rated.key.trials if trial.kind == "test"} <= {
        "l1_only",
        "cgan",
        "egan",
    }
    assert begin("fair").key == rated.key  # the same command keeps them
    with pytest.raises(ColourbenchError, match="has no arm wgan"):
        begin("other", ["wgan"])


def test_a_failed_arm_does_not_stop_the_others(
    home: Path, monkeypatch: pytest.MonkeyPatch, make_study: MakeStudy
) -> None:
    original = train_run

    def sometimes(
        store: object, dataset: object, config: object, place: object, *options: object
    ) -> object:
        if place.name == "cgan seed 0":  # type: ignore[attr-defined]
            raise ColourbenchError("out of memory with batches.size=4")
        return original(store, dataset, config, place, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train_run", sometimes)
    arms = {name: fields for name, fields in make_study().arms.items() if name != "egan"}
    [failure] = compare(Home(home), make_study(arms=arms), lambda text: None)
    assert str(failure) == "cgan seed 0: out of memory with batches.size=4"
    assert len(Home(home).store.find("fair", {"kind": "cell"})) == 5
    study_results = results.load(Home(home).store, Home(home).data, "fair")
    assert any("1 of 6 runs are not finished" in text for text in report.warnings(study_results))


def test_workers_train_runs_side_by_side(home: Path, make_study: MakeStudy) -> None:
    arms = {"l1_only": {"variant": {"name": "regression"}}}
    said: list[str] = []
    declared = make_study(arms=arms, seeds=[0, 1, 2], baselines=[])
    assert compare(Home(home), declared, said.append, CompareOptions(workers=2)) == []
    trained = Home(home).store.find("fair", {"kind": "cell"})
    assert sorted(run.name for run in trained) == [f"l1_only seed {seed}" for seed in range(3)]
    assert {run.status for run in trained} == {"FINISHED"}
    assert said[0].startswith("2 workers; their logs are ") and any(
        text.startswith("3 of 3: ") for text in said
    )


def test_what_failed_in_one_call_is_tried_again_only_in_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch, make_study: MakeStudy
) -> None:
    """Elements of a job array share an attempt; what failed in it is reported by all and trained by one."""
    tried: list[str] = []

    def fail(session: Session, report: object = None) -> None:
        tried.append(session.run.name)
        raise ColourbenchError("a loss became NaN")

    monkeypatch.setattr("studies.runs.train.train", fail)
    declared = make_study(
        arms={"l1_only": {"variant": {"name": "regression"}}}, seeds=[0], baselines=[]
    )
    for _ in range(2):
        [failure] = compare(
            Home(home), declared, lambda text: None, CompareOptions(attempt="array 7")
        )
        assert str(failure) == "l1_only seed 0: a loss became NaN"
    assert len(tried) == 1
    compare(Home(home), declared, lambda text: None, CompareOptions(attempt="array 8"))
    assert len(tried) == 2


def test_a_metric_without_its_weights_cannot_decide(
    home: Path, monkeypatch: pytest.MonkeyPatch, make_study: MakeStudy
) -> None:
    monkeypatch.setattr("analysis.metrics.weights.Weights.is_here", lambda self: False)
    with pytest.raises(ColourbenchError, match="primary=lpips needs"):
        compare(Home(home), make_study(primary="lpips"), lambda text: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"a": {"variant": {"name": "vae"}}}}, "arm a: variant: .*'vae'"),
        (
            {"arms": {"a": {"variant": {"name": "cgan", "lambda": 3}}}},
            r"variant\.lambda is not a known field",
        ),
        (
            {"arms": {"a": {"variant": {"name": "cgan"}, "budget": {"amount": 3}}}},
            "budget is the study's",
        ),
    ],
)
def test_wrong_arms(change: dict[str, object], message: str, make_study: MakeStudy) -> None:
    with pytest.raises(ColourbenchError, match=message):
        cells(make_study(**change), no_sweeps)


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
        (
            {"arms": {"a": {}, "b": {"like": "a", "seeds": [7]}, "c": {"like": "a", "seeds": [7]}}},
            "shares seed 7 with b",
        ),
        ({"arms": {"a": {"seeds": 3}}}, "different whole numbers"),
        ({"arms": {"a": {"seeds": [True]}}}, "different whole numbers"),
        ({"seed": 1}, "did you mean seeds"),
    ],
)
def test_wrong_studies(change: dict[str, object], message: str, make_study: MakeStudy) -> None:
    with pytest.raises(ColourbenchError, match=message):
        make_study(**change)


@pytest.mark.parametrize("path", sorted(Path("studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_suite_are_valid(path: Path) -> None:
    declared = read(path)
    assert (
        declared.name == path.stem and declared.question and declared.source and declared.settled_by
    )
    assert cells(declared, no_sweeps)
    assert yaml.safe_load(path.read_text())["dataset"]


def test_arms_may_have_seeds_of_their_own_and_be_like_another(make_study: MakeStudy) -> None:
    arms = {"cgan": {"variant": {"name": "cgan"}}, "again": {"like": "cgan", "seeds": [5, 6, 7]}}
    planned = cells(make_study(arms=arms, seeds=[0, 1]), no_sweeps)
    assert [(cell.arm, cell.seed) for cell in planned] == [
        ("cgan", 0),
        ("again", 5),
        ("cgan", 1),
        ("again", 6),
        ("again", 7),
    ]
    assert planned[0].config.variant == planned[1].config.variant


def test_the_verdict_is_written_beside_the_report_and_into_mlflow(
    compared: Home, page: Path
) -> None:
    answer = json.loads((page.parent / "verdict.json").read_text())
    assert answer["primary"] == "delta_e" and answer["margin"] == 0.5 and answer["declared_at"]
    pairs = {(item["first"], item["second"]) for item in answer["answers"]}
    assert len(pairs) == 10 and ("l1_only", "cgan") in pairs
    [parent] = compared.store.find("fair", {"kind": "comparison"})
    assert all(item["text"] in parent.tags["mlflow.note.content"] for item in answer["answers"])
    assert all(
        escape(item["text"]) in page.read_text() for item in answer["answers"] if all(item["seeds"])
    )


def test_a_study_that_never_ran(home: Path) -> None:
    with pytest.raises(ColourbenchError, match="run `colourbench compare"):
        reports.report(Home(home), "nothing")

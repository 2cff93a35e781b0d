"""Reports beyond the plain one: several data sets, other programs' folders, other formats, perceptual figures, and a notebook's way."""

import json
import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from analysis import results
from analysis.metrics import perceptual
from analysis.metrics.perceptual import Networks
from analysis.report import study_tables
from analysis.report.page import template, write_pdf
from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from studies.comparisons import reports
from studies.comparisons.cells import outside
from studies.comparisons.compare import compare
from studies.comparisons.perceptual import measure
from studies.comparisons.study import Study, read
from studies.home import Home
from studies.people.study import material

NETWORK = {"network": {"base_width": 4}}


def study(**fields: Any) -> Study:
    data = {
        "name": "wide",
        "question": "Which?",
        "dataset": "fields-32",
        "budget": {"amount": 8, "unit": "images"},
        "seeds": [0, 1, 2],
        "defaults": {
            "batches": {"size": 4},
            "engine": {"threads": 1},
            "watch": {"validations": 2, "preview_images": 0},
        },
        "arms": {
            "l1": {"variant": {"name": "regression", "generator": NETWORK}},
            "cgan": {"variant": {"name": "cgan", "generator": NETWORK, "critic": NETWORK}},
        },
    }
    return parse(Study, data | fields, "study")


@pytest.fixture(scope="module")
def rooms(dataset: Dataset, fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with two data sets, and a folder of another program's results for each: the true photographs with one thing wrong."""
    home = tmp_path_factory.mktemp("wide")
    shutil.copytree(dataset.folder, home / "data" / "fields-32")
    shutil.copytree(dataset.folder, home / "data" / "again-32")
    manifest = home / "data" / "again-32" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fields-32"', '"again-32"'))
    shutil.copy(fresh_store, home / "mlflow.db")
    for name in ("fields-32", "again-32"):
        outside.export(Home(home).dataset(name), "test", home / "theirs" / name, grey=False)
        Image.new("RGB", (32, 32)).save(home / "theirs" / name / "extra.png")
    return Home(home)


@pytest.fixture(scope="module")
def compared(rooms: Home) -> list[str]:
    """What was said while the study ran on both."""
    said: list[str] = []
    arms = {**study().arms, "theirs": {"images": str(rooms.path / "theirs" / "{dataset}")}}
    assert (
        compare(
            rooms, study(dataset="", datasets=["fields-32", "again-32"], arms=arms), said.append
        )
        == []
    )
    return said


@pytest.fixture(scope="module")
def page(rooms: Home, compared: list[str]) -> Path:
    """The page over both data sets; the report on each is written with it."""
    return reports.report(rooms, "wide", ["html", "md"], lambda text: None)


def test_exported_photographs_are_grey_and_named_as_results_must_be(
    rooms: Home, tmp_path: Path
) -> None:
    dataset = rooms.dataset("fields-32")
    assert outside.export(dataset, "test", tmp_path / "grey") == len(dataset.split("test"))
    assert {path.stem for path in (tmp_path / "grey").iterdir()} == set(
        outside.names(dataset.split("test"))
    )
    red, green, blue = Image.open(next((tmp_path / "grey").iterdir())).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()
    with pytest.raises(ColourbenchError, match="is not empty"):
        outside.export(dataset, "test", tmp_path / "grey")


def test_another_programs_folder_is_an_arm_like_any_other(
    rooms: Home, compared: list[str], page: Path
) -> None:
    assert any("theirs" in line and "extra.png" in line for line in compared)
    study_results = results.load(rooms.store, rooms.data, "wide-fields-32")
    assert study_results.arms == [
        "grey",
        "mean",
        "l1",
        "cgan",
        "theirs",
    ] and study_results.outside == ["theirs"]
    # the truth itself
    assert study_results.table.query("arm == 'theirs'")["delta_e"].max() < 0.05
    folder = rooms.report("wide-fields-32")
    html = (folder / "report.html").read_text()
    answers = json.loads((folder / "verdict.json").read_text())["answers"]
    (against,) = [
        answer["text"]
        for answer in answers
        if {answer["first"], answer["second"]} == {"l1", "theirs"}
    ]
    assert escape(against) in html
    assert "matching no test image" in html and "theirs" in (folder / "report.md").read_text()
    assert "theirs" in material(study_results).arms


def test_the_commands_of_a_report_make_the_study_again(rooms: Home, page: Path) -> None:
    file = rooms.report("wide-again-32") / "study.yaml"
    again = read(file)
    assert again.name == "wide-again-32" and again.arms["theirs"]["images"].endswith("again-32")
    said: list[str] = []
    assert compare(rooms, again, said.append) == []
    assert not any("of 8 images" in line for line in said)  # every run was there
    text = (rooms.report("wide-again-32") / "report.html").read_text()
    assert "study.yaml --home" in text and yaml.safe_load(file.read_text())["seeds"] == [0, 1, 2]


def test_several_data_sets_are_ranked(page: Path) -> None:
    html = page.read_text()
    assert (
        "Average ranks over 2 data sets: theirs 1.00" in html
        and "../wide-fields-32/report.html" in html
    )
    ranks = pd.read_csv(page.parent / "tables" / "ranks.csv")
    assert set(ranks["data_set"]) == {"fields-32", "again-32"} and {"l1", "cgan", "theirs"} <= set(
        ranks
    )
    assert (page.parent / "figures" / "ranks.pdf").is_file()


def test_methods_and_citations_have_every_figure(rooms: Home, page: Path) -> None:
    folder = rooms.report("wide-fields-32")
    text = (folder / "methods.txt").read_text()
    study_results = results.load(rooms.store, rooms.data, "wide-fields-32")
    assert (
        f"{len(study_results.dataset.split('train'))} training" in text
        and "3 seeds" in text
        and "a budget of 8 images" in text
    )
    assert "cGAN (pix2pix) [@isola2017image]" in text and "theirs" in text and "{" not in text
    assert "@inproceedings{isola2017image" in (folder / "references.bib").read_text()
    assert "Not computed: LPIPS" in (folder / "report.html").read_text()


def test_a_pdf(tmp_path: Path) -> None:
    try:
        import weasyprint  # noqa: F401
    except OSError as error:
        pytest.skip(f"Pango is not installed: {error}")
    html = template("several.html.j2").render(
        name="small", lines=["a is better"], parts=[], table=""
    )
    write_pdf(html, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_formats_are_known(rooms: Home) -> None:
    with pytest.raises(ColourbenchError, match="--format doc: choose html, pdf, md"):
        reports.report(rooms, "wide", ["doc"])


def test_perceptual_figures_are_measured_when_their_weights_come(
    rooms: Home, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare_pairs(images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return (images.float() - truth.float()).abs().mean(dim=(1, 2, 3)) / 255

    def extract(images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=(2, 3)) / 255

    monkeypatch.setattr(
        perceptual, "networks", lambda device: Networks(compare_pairs, {"inception": extract})
    )
    said: list[str] = []
    measured = reports.report(rooms, "wide-again-32", say=said.append)
    assert sum(line.startswith("measuring LPIPS, FID, KID of") for line in said) == 2 + 2 * 3 + 1
    further = pd.read_csv(measured.parent / "tables" / "further.csv").set_index("arm")
    assert (
        further["lpips"].notna().all()
        and further["frechet_inception"].notna().all()
        and (further["n"] > 3).all()
    )
    assert further["lpips"].idxmin() == further["frechet_inception"].idxmin() == "theirs"
    assert (
        "LPIPS: torchvision" not in measured.read_text()
        and "FID and KID: FID" not in measured.read_text()
    )
    study_results = results.load(rooms.store, rooms.data, "wide-again-32")
    assert "lpips" in set(pd.read_csv(measured.parent / "tables" / "pairwise.csv")["metric"])
    assert "test/frechet_inception" in rooms.store.run(study_results.trained[0].id).metrics
    # EfficientNet-Lite0 was not given
    assert len(measure(rooms, study_results, said.append)) == 1
    assert sum(line.startswith("measuring") for line in said) == 9  # once is enough


def test_figures_that_are_not_finite_are_counted(rooms: Home, compared: list[str]) -> None:
    study_results = results.load(rooms.store, rooms.data, "wide-fields-32")
    study_results.table.loc[study_results.table.index[:2], "delta_e"] = float("nan")
    rows = study_tables.not_finite(study_results).query("metric == 'delta_e'")
    assert rows[["arm", "infinite", "not_a_number"]].to_numpy().tolist() == [["grey", 0, 2]]
    shown = study_tables.readable_not_finite(study_tables.not_finite(study_results))
    assert "not a number" in shown and "ΔE₀₀" in set(shown["metric"])


def test_the_notebook_example_runs_as_it_stands(
    rooms: Home, compared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "notebook.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {'"variants"': '"wide-fields-32"', '"wgan_gp"': '"l1"'}
    for name, ours in names.items():
        assert name in code
        code = code.replace(name, ours)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(rooms.path)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    assert set(namespace["headline"]["arm"]) == {"grey", "mean", "l1", "cgan", "theirs"}
    assert namespace["answer"].lines and all(
        namespace[name].axes for name in ("forest", "curves", "pictures")
    )

"""Damage as disks and people do it: each is told in one line with file and remedy, and nothing damaged is ever used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from common.config import parse, read_yaml
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.system.names import GENERATOR
from studies.commands import data as data_verbs
from studies.comparisons import reports
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.model import load_run, save_generator

FIELDS: dict[str, Any] = {
    "name": "small",
    "dataset": "fields-32",
    "budget": {"amount": 8, "unit": "images"},
    "seeds": [0],
    "baselines": ["grey"],
    "defaults": {
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 1, "preview_images": 0},
    },
    "arms": {
        "l1": {"variant": {"name": "regression", "generator": {"network": {"base_width": 4}}}}
    },
}
STUDY = parse(Study, FIELDS, "study")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset, fresh_store: Path) -> Path:
    """A home in which a small study has run; tests take copies of its files."""
    home = tmp_path_factory.mktemp("done")
    shutil.copytree(dataset.folder.parent, home / "data")
    shutil.copy(fresh_store, home / "mlflow.db")
    assert compare(Home(home), STUDY, lambda text: None) == []
    return home


@pytest.fixture
def run_folder(done: Path) -> Any:
    """The trained run's folder, put back as it was after the test."""
    folder = Home(done).store.run("small/l1 seed 0").folder
    backup = done / "backup"
    shutil.copytree(folder, backup)
    yield folder
    shutil.rmtree(folder)
    backup.rename(folder)


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(bytes(whole))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", [GENERATOR, "config.json"])
@pytest.mark.parametrize("harm", [flip, halve, Path.unlink])
def test_a_damaged_run_is_not_used(
    name: str, harm: Callable[[Path], None], done: Path, run_folder: Path
) -> None:
    harm(run_folder / name)
    with pytest.raises(ColourbenchError) as told:
        load_run(Home(done).store.run("small/l1 seed 0"), "cpu")
    assert "\n" not in str(told.value) and (
        str(run_folder) in str(told.value) or "train it to the end" in str(told.value)
    )


@pytest.mark.parametrize(
    "what", ["nan", "other keys", "another architecture", "no network", "a pickle"]
)
def test_a_generator_that_is_whole_and_wrong(what: str, done: Path, run_folder: Path) -> None:
    path = run_folder / GENERATOR
    # of an older version, or written again by who changed the file
    (run_folder / "SHA256SUMS").unlink()
    with safetensors.safe_open(path, "pt") as file:
        about, network = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    first = next(iter(network))
    if what == "nan":
        network[first] = torch.full_like(network[first], float("nan"))
    elif what == "other keys":
        network = {f"x.{name}": value for name, value in network.items()}
    elif what == "another architecture":
        about["size"] = "64"
    elif what == "no network":
        network = {}
    save_file(network, path, about)
    if what == "a pickle":
        torch.save(network, path)
    with pytest.raises(ColourbenchError, match="--retrain") as told:
        load_run(Home(done).store.run("small/l1 seed 0"), "cpu")
    assert "\n" not in str(told.value) and GENERATOR in str(told.value)


def test_a_generator_that_ended_in_nan_is_not_saved(
    done: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Home(done).store.run("small/l1 seed 0")
    colouriser, _ = load_run(run, "cpu")
    before = (run.folder / GENERATOR).read_bytes()
    broken = {
        name: weight.float() * float("nan") for name, weight in colouriser.state_dict().items()
    }
    monkeypatch.setattr(type(colouriser), "state_dict", lambda self: broken)
    with pytest.raises(ColourbenchError, match="the last update left NaN or infinity in"):
        save_generator(run, colouriser, dataset)
    assert (run.folder / GENERATOR).read_bytes() == before


@pytest.mark.parametrize("name", [GENERATOR, "metrics.parquet", "samples.npy"])
def test_compare_tells_of_lost_files_and_trains_again_when_asked(
    name: str, done: Path, run_folder: Path
) -> None:
    (run_folder / name).unlink()
    rooms = Home(done)
    (failure,) = compare(rooms, STUDY, lambda text: None)
    assert name in str(failure) and "--retrain" in str(failure)
    assert compare(rooms, STUDY, lambda text: None, CompareOptions(retrain=True)) == []
    # a run of its own: the old one's figures belong to weights that are gone
    again = rooms.store.run("small/l1 seed 0").folder
    assert (
        again != run_folder
        and (again / name).is_file()
        and compare(rooms, STUDY, lambda text: None) == []
    )
    steps = [item.step for item in rooms.store.run("small/l1 seed 0").history("validation/delta_e")]
    assert len(steps) == len(set(steps))  # nothing is logged twice


def test_a_run_whose_folder_is_gone(done: Path, run_folder: Path) -> None:
    for path in run_folder.iterdir():
        if path.is_file():
            path.unlink()
    (failure,) = compare(Home(done), STUDY, lambda text: None)
    assert "is missing" in str(failure)


@pytest.mark.parametrize("harm", [flip, halve, Path.unlink])
def test_a_report_of_damaged_figures(
    harm: Callable[[Path], None], done: Path, run_folder: Path
) -> None:
    harm(run_folder / "metrics.parquet")
    with pytest.raises(ColourbenchError, match=r"metrics\.parquet.*--retrain"):
        reports.report(Home(done), "small")


def test_a_damaged_study(done: Path) -> None:
    (parent,) = Home(done).store.find("small", {"kind": "comparison"})
    path = parent.folder / "study.json"
    before = path.read_bytes()
    for text in (before[: len(before) // 2], b"[]"):
        path.write_bytes(text)
        with pytest.raises(ColourbenchError, match=r"study\.json is damaged.*compare STUDY\.yaml"):
            reports.report(Home(done), "small")
    path.write_bytes(before)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda manifest: [manifest],
    "a field is missing": lambda manifest: {k: v for k, v in manifest.items() if k != "labels"},
    "a wrong setting": lambda manifest: (
        manifest | {"config": manifest["config"] | {"size": "large"}}
    ),
    "an unknown setting": lambda manifest: (
        manifest | {"config": manifest["config"] | {"colour": 1}}
    ),
    "too many entries": lambda manifest: (
        manifest | {"images": [*manifest["images"], manifest["images"][0]]}
    ),
    "an empty split": lambda manifest: (
        manifest | {"images": [{**e, "split": "train"} for e in manifest["images"]]}
    ),
    "a label that is none": lambda manifest: (
        manifest | {"images": [{**e, "label": 99} for e in manifest["images"]]}
    ),
    "another photograph": lambda manifest: (
        manifest | {"images": [{**e, "photograph": "x"} for e in manifest["images"]]}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_manifest_is_one_line(change: str, home: Path) -> None:
    path = home / "data" / "fields-32" / "manifest.json"
    path.write_text(json.dumps(CHANGES[change](json.loads(path.read_text()))))
    with pytest.raises(ColourbenchError, match="prepare the data set again") as told:
        Home(home).dataset("fields-32")
    assert "\n" not in str(told.value) and str(path) in str(told.value)


def test_flipped_bytes_in_a_shard_are_found_when_it_is_used(home: Path) -> None:
    shard = home / "data" / "fields-32" / "images-00000.npy"
    Home(home).dataset("fields-32").split("train")  # remembered as right
    flip(shard)
    with pytest.raises(ColourbenchError, match="is damaged; prepare the data set fields-32 again"):
        Home(home).dataset("fields-32").split("train")


def test_shards_are_read_once_for_their_checksum(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Dataset] = []
    original = Dataset.check

    def counting(dataset: Dataset) -> None:
        counted.append(dataset)
        original(dataset)

    monkeypatch.setattr(Dataset, "check", counting)
    for _ in range(3):
        Home(home).dataset("fields-32").split("train")
    assert len(counted) <= 1


def test_data_list_shows_the_healthy_beside_the_damaged(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "data" / "fields-32", home / "data" / "broken")
    (home / "data" / "broken" / "manifest.json").write_text("{")
    with pytest.raises(ColourbenchError, match="1 of 2 data sets are damaged"):
        data_verbs.list_data(home)
    lines = capsys.readouterr().out.splitlines()
    assert any("broken" in line and "damaged" in line for line in lines)
    assert any("fields-32" in line and "images of 32 px" in line for line in lines)


def test_yaml_that_is_nested_too_deep() -> None:
    with pytest.raises(ColourbenchError, match=r"deep\.yaml is nested too deeply"):
        read_yaml("[" * 20_000 + "]" * 20_000, "deep.yaml")

"""Runs as users meet them: real processes, real kills, real MLflow."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.tracking import Run, Store
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.model import load_run
from studies.runs.train import Place, RunOptions, train_run
from studies.runs.training import Pruned
from variants.registry import CLASSES

PLACE = Place("study", "run", {"kind": "run", "arm": "x"})


def config(variant: str = "cgan", images: int = 96, **fields: object) -> RunConfig:
    network = {"network": {"base_width": 8}}
    adversarial = {} if variant == "regression" else {"critic": network}
    data = {
        "variant": {"name": variant, "generator": network, **adversarial},
        "dataset": "fields-32",
        "budget": {"amount": images, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 3, "log_steps": 3, "preview_images": 2, "checkpoint_seconds": 1e9},
    }
    return parse(RunConfig, data | fields)


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_file(run.folder / "generator.safetensors")
    return state


def losses(run: Run) -> dict[str, list[tuple[int, float]]]:
    return {
        key: [(item.step, item.value) for item in run.history(key)]
        for key in {row["key"] for row in run.logged()}
        if key.startswith(("train/", "validation/", "test/"))
    }


def test_mlflow_knows_the_data_set_once(home: Path, dataset: Dataset) -> None:
    place = Home(home).store
    run = place.open_run("t", "r", {}, {})
    for _ in range(2):  # a resumed run says it again
        run.log_dataset(dataset.name, dataset.fingerprint, str(dataset.folder), "{}")
    inputs = place._client.get_run(run.id).inputs
    assert inputs is not None
    [recorded] = inputs.dataset_inputs
    assert recorded.dataset.name == dataset.name and dataset.fingerprint.startswith(
        recorded.dataset.digest
    )


def test_a_run_leaves_everything_it_promises(store: Store, dataset: Dataset) -> None:
    run = train_run(store, dataset, config(), PLACE)
    stored = store.run(run.id)
    assert stored.status == "FINISHED"
    assert (
        stored.tags["variant"] == "cgan"
        and stored.tags["seed"] == "0"
        and len(stored.tags["config_sha256"]) == 64
    )
    assert (
        stored.params["variant.reconstruction_weight"] == "100.0"
        and stored.params["budget.unit"] == "images"
    )
    assert json.loads((run.folder / "config.json").read_text())["variant"]["name"] == "cgan"
    assert [path.name for path in sorted((run.folder / "previews").iterdir())] == [
        "000000032.png",
        "000000064.png",
        "000000096.png",
    ]
    table = pd.read_parquet(run.folder / "metrics.parquet")
    assert len(table) == len(dataset.split("test")) and stored.metrics[
        "test/delta_e"
    ] == pytest.approx(table["delta_e"].mean())
    steps = [item.step for item in run.history("validation/delta_e")]
    assert steps == [32, 64, 96]
    seconds = run.curves(["validation/delta_e", "seconds", "updates"]).dropna()
    assert seconds["updates"].tolist() == [8, 16, 24] and seconds["seconds"].is_monotonic_increasing
    assert not list(run.folder.glob("checkpoint-*"))


def test_figures_that_a_run_has_once_have_one_step(store: Store, dataset: Dataset) -> None:
    """Else the UI draws dots where the runs happened to end; batches of 8 do not divide every budget."""
    for images in (96, 100):
        settings = config(images=images, batches={"size": 8})
        run = train_run(store, dataset, settings, replace(PLACE, name=str(images)))
        for name in ("test/delta_e", "test/psnr_rgb", "images", "peak_memory_gb"):
            assert [item.step for item in run.history(name)] == [0], name


def test_test_photographs_are_shown_beside_those_of_other_runs(
    store: Store, dataset: Dataset
) -> None:
    """As MLflow's UI looks for them: image files by key, and the tag that says there are some."""
    run = train_run(store, dataset, config(), PLACE)
    samples = np.load(run.folder / "samples.npy")
    assert "mlflow.loggedImages" in store.run(run.id).tags
    pictures = sorted((run.folder / "images").glob("test photograph 1+*.png"))
    assert len(pictures) == 1
    assert np.array_equal(np.asarray(Image.open(pictures[0])), samples[0])


def test_a_pruned_run_keeps_its_figures(store: Store, dataset: Dataset) -> None:
    """Where it stood when it was pruned places it among the others, and a tag says what became of it."""

    def report(validation: int, _: dict[str, float]) -> None:
        if validation == 2:
            raise Pruned

    with pytest.raises(Pruned):
        train_run(store, dataset, config(), PLACE, RunOptions(report))
    [run] = store.find(PLACE.study, {"mlflow.runName": PLACE.name})
    assert run.status == "KILLED"
    assert run.tags["outcome"] == "pruned"
    assert [item.step for item in run.history("validation/delta_e")] == [32, 64]


def test_a_home_with_a_space_holds_its_own_files(
    dataset: Dataset, tmp_path: Path, fresh_store: Path
) -> None:
    place = tmp_path / "my räume"
    place.mkdir()
    (place / "mlflow.db").write_bytes(fresh_store.read_bytes())
    run = train_run(Store(place), dataset, config("regression", images=8), PLACE)
    assert run.folder.is_relative_to(place) and (run.folder / "generator.safetensors").exists()


def test_a_finished_run_is_not_trained_again(store: Store, dataset: Dataset) -> None:
    first = train_run(store, dataset, config(), PLACE)
    written = (first.folder / "generator.safetensors").stat().st_mtime_ns
    assert train_run(store, dataset, config(), PLACE).id == first.id
    assert (first.folder / "generator.safetensors").stat().st_mtime_ns == written


def test_same_seed_same_result_other_seed_other_result(store: Store, dataset: Dataset) -> None:
    one, two, other = (
        train_run(store, dataset, config(seed=seed), Place("study", f"run {name}", {"arm": "x"}))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(
        torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(), strict=True)
    )
    assert losses(one) == losses(two) != losses(other)


TRAIN = """
import json, sys
from common.config import parse
from common.errors import Interrupted
from common.data.shards import Dataset
from common.tracking import Store
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, train_run
sys.stderr = errors.open("w")
config = parse(RunConfig, json.loads(settings))
try:
    train_run(Store(home), Dataset(home / "data" / "fields-32"), config, Place("study", name, {"arm": "x"}))
except Interrupted as error:
    print(error, file=sys.stderr, flush=True)
"""


@pytest.fixture
def start(home: Path, child: Callable[..., BaseProcess]) -> Callable[[RunConfig, str], BaseProcess]:
    """Trains a run in a process of its own; what it says goes to `errors`."""
    return lambda settings, name: child(
        TRAIN, home=home, settings=settings.model_dump_json(), name=name, errors=home / "errors"
    )


Start = Callable[[RunConfig, str], BaseProcess]


@pytest.mark.parametrize("variant", list(CLASSES))
def test_a_killed_run_resumes_bit_by_bit(variant: str, home: Path, start: Start) -> None:
    """SIGKILL in the middle, through a change of phase: weights and every logged figure equal those of an unbroken run."""
    fields = config(variant).model_dump(mode="json")
    fields["schedule"]["pretraining"] = 0.25
    fields["budget"]["amount"] = 160 if variant == "wgan_gp" else 120
    fields["watch"]["checkpoint_seconds"] = 1e-3  # after every step
    settings = parse(RunConfig, fields)
    store = Store(home)
    dataset = Dataset(home / "data" / "fields-32")
    whole = train_run(store, dataset, settings, Place("study", "whole", {"arm": "x"}))

    process = start(settings, "broken")
    wait_for_checkpoint(store, "broken", images=50)
    process.kill()
    process.join()
    [broken] = store.find("study", {"mlflow.runName": "broken"})
    assert broken.status == "RUNNING" and not (broken.folder / "generator.safetensors").exists()

    resumed = train_run(store, dataset, settings, Place("study", "broken", {"arm": "x"}))
    assert resumed.id == broken.id
    assert all(
        torch.equal(a, b)
        for a, b in zip(weights(whole).values(), weights(resumed).values(), strict=True)
    )
    assert losses(resumed) == losses(whole)


def wait_for_checkpoint(store: Store, name: str, images: int = 0) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = store.find("study", {"mlflow.runName": name})
        if runs and any(
            int(path.name.split("-")[1]) >= images for path in runs[0].folder.glob("checkpoint-*")
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"{name} wrote no checkpoint")


def test_sigterm_saves_and_tells_how_to_go_on(home: Path, start: Start) -> None:
    fields = config(images=100_000).model_dump(mode="json")
    fields["watch"]["checkpoint_seconds"] = 0.5
    process = start(parse(RunConfig, fields), "stopped")
    store = Store(home)
    wait_for_checkpoint(store, "stopped")
    process.terminate()
    process.join(timeout=60)
    error = (home / "errors").read_text()
    [run] = store.find("study", {"mlflow.runName": "stopped"})
    assert "stopped by SIGTERM" in error and "run the same command to go on" in error
    assert run.status == "KILLED" and list(run.folder.glob("checkpoint-*"))


def test_divergence_names_the_loss_and_marks_the_run(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from variants.cgan import Cgan

    original = Cgan.step

    def diverging(self: Cgan, batches: object) -> dict[str, torch.Tensor]:
        logged = original(self, batches)  # type: ignore[arg-type]
        return logged | {"critic": logged["critic"] * float("nan")}

    monkeypatch.setattr(Cgan, "step", diverging)
    with pytest.raises(
        ColourbenchError, match=r"'critic' became nan .* image 12 .*no checkpoint had been written"
    ):
        train_run(store, dataset, config(), PLACE)
    [run] = store.find("study", {})
    assert run.status == "FAILED"


def test_out_of_memory_names_the_batch_size(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from variants.cgan import Cgan

    def greedy(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Cgan, "step", greedy)
    with pytest.raises(ColourbenchError, match=r"out of memory with batches\.size=4"):
        train_run(store, dataset, config(), PLACE)


def test_a_checkpoint_of_other_settings_is_refused(store: Store, dataset: Dataset) -> None:
    class Stop(Exception):
        pass

    def stop(images: int, metrics: dict[str, float]) -> None:
        raise Stop

    fields = config().model_dump(mode="json")
    fields["watch"]["checkpoint_seconds"] = 1e-3
    settings = parse(RunConfig, fields)
    with pytest.raises(Stop):
        train_run(store, dataset, settings, PLACE, RunOptions(report=stop))
    [first] = store.find("study", {})
    fields["seed"] = 5
    other = store.open_run(
        "study",
        "other",
        {"config_sha256": parse(RunConfig, fields).identity(dataset.fingerprint)},
        {},
    )
    for path in first.folder.glob("checkpoint-*"):
        (other.folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ColourbenchError, match="written with other settings"):
        train_run(store, dataset, parse(RunConfig, fields), Place("study", "other", {"arm": "x"}))


def test_two_processes_do_not_train_one_run(store: Store, dataset: Dataset) -> None:
    inner: list[ColourbenchError] = []

    def again(images: int, metrics: dict[str, float]) -> None:
        with pytest.raises(ColourbenchError) as error:
            train_run(store, dataset, config(), PLACE)
        inner.append(error.value)

    train_run(store, dataset, config(), PLACE, RunOptions(report=again))
    assert "being trained by another process" in str(inner[0])


def test_what_is_watched_does_not_change_what_is_learnt(store: Store, dataset: Dataset) -> None:
    fields = config().model_dump(mode="json")
    fields["variant"]["test_time"] = "dropout"
    often = {**fields, "watch": {**fields["watch"], "validations": 12, "log_steps": 1}}
    one, two = (
        train_run(store, dataset, parse(RunConfig, settings), Place("study", name, {"arm": "x"}))
        for name, settings in (("seldom", fields), ("often", often))
    )
    assert all(
        torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(), strict=True)
    )


@pytest.mark.parametrize(("unit", "amount"), [("updates", 7), ("seconds", 0.5)])
def test_budgets_in_other_units(unit: str, amount: float, store: Store, dataset: Dataset) -> None:
    run = train_run(store, dataset, config(budget={"unit": unit, "amount": amount}), PLACE)
    metrics = store.run(run.id).metrics
    assert metrics["updates"] == 7 if unit == "updates" else metrics["seconds"] >= 0.5
    assert metrics["images"] == 4 * metrics["updates"]


def test_a_loaded_run_colourises_as_it_did(store: Store, dataset: Dataset) -> None:
    from analysis.evaluation import splits

    run = train_run(store, dataset, config("egan"), PLACE)
    colouriser, settings = load_run(run, "cpu")
    table = splits.evaluate(colouriser, dataset.split("test")).table
    assert settings == config("egan")
    assert table["delta_e"].mean() == pytest.approx(
        store.run(run.id).metrics["test/delta_e"], abs=1e-5
    )


def test_an_unfinished_run_cannot_be_loaded(store: Store) -> None:
    run = store.open_run("study", "empty", {"config_sha256": "x"}, {})
    with pytest.raises(ColourbenchError, match="no trained generator"):
        load_run(run)

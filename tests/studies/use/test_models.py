import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.system.names import CONDITIONS, GENERATOR
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.finish import score_later
from studies.runs.train import Place, RunOptions, train_run
from studies.use.models import open_model


def config(
    name: str = "regression", seed: int = 0, generator: dict[str, Any] | None = None, **fields: Any
) -> RunConfig:
    variant = {"name": name, "generator": {"network": {"base_width": 4}, **(generator or {})}}
    critic = {} if name == "regression" else {"critic": {"network": {"base_width": 4, "layers": 1}}}
    fixed = {
        "dataset": "fields-32",
        "budget": {"amount": 8, "unit": "images"},
        "batches": {"size": 4},
        "seed": seed,
    }
    fixed["engine"] = {"precision": "32"}
    watch = {"validations": 1, "preview_images": 0}
    return parse(RunConfig, {"variant": variant | critic, **fixed, "watch": watch, **fields})


def train(home: Path, dataset: Dataset, settings: RunConfig, name: str, arm: str) -> Any:
    return train_run(
        Home(home).store, dataset, settings, Place("t", name, {"arm": arm}), RunOptions(test=False)
    )


def test_labels_are_known_by_name(home: Path, dataset: Dataset) -> None:
    train(home, dataset, config(generator={"labels": True}), "labelled", "a")
    train(home, dataset, config(), "plain", "b")
    model = open_model(Home(home), "t/labelled", "cpu")
    assert model.label_number("sea") == dataset.labels.index("sea")
    with pytest.raises(ColourbenchError, match="no label 'see'; did you mean sea"):
        model.label_number("see")
    with pytest.raises(ColourbenchError, match="trained without labels"):
        open_model(Home(home), "t/plain", "cpu").label_number("sea")


def test_an_arm_is_its_best_seed_and_a_file_is_a_model_anywhere(
    home: Path, dataset: Dataset, tmp_path: Path
) -> None:
    runs = [
        train(home, dataset, config(seed=seed), f"arm seed {seed}", "arm") for seed in (0, 1, 2)
    ]
    best = min(runs, key=lambda run: Home(home).store.run(run.id).metrics["validation/delta_e"])
    model = open_model(Home(home), "t/arm", "cpu")
    assert model.run is not None and model.run.id == best.id
    file = shutil.copy(best.folder / GENERATOR, tmp_path / "mine.safetensors")
    elsewhere = open_model(Home(tmp_path / "other"), str(file), "cpu")
    L = torch.rand(2, 1, 32, 32) * 2 - 1
    assert (
        torch.equal(elsewhere.colouriser(L), model.colouriser(L))
        and elsewhere.labels == dataset.labels
    )


def test_an_arm_on_several_data_sets_has_no_best_seed(home: Path, dataset: Dataset) -> None:
    run = train(home, dataset, config(seed=0), "one", "arm")
    train(home, dataset, config(seed=1), "two", "arm")
    run.tag(dataset_sha256="another")
    with pytest.raises(ColourbenchError, match="several data sets"):
        open_model(Home(home), "t/arm", "cpu")


def test_conditions_that_are_asked_for_later_are_scored(home: Path, dataset: Dataset) -> None:
    def once(conditions: list[str]) -> Any:
        watch = {"validations": 1, "preview_images": 0, "conditions": conditions}
        settings = config(watch=watch)
        place = Place("t", "later", {"arm": "a"})
        run = train_run(Home(home).store, dataset, settings, place)
        score_later(run, settings, dataset)
        return run

    first = once([])
    assert not (first.folder / CONDITIONS).is_file()
    again = once(["films"])
    assert again.id == first.id and (again.folder / CONDITIONS).is_file()


def test_files_that_are_no_models_are_told_in_a_line(home: Path, tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"no")
    for path, message in (("no", "no whole file of weights"), ("none", "is missing")):
        with pytest.raises(ColourbenchError, match=message):
            open_model(Home(home), str(tmp_path / f"{path}.safetensors"), "cpu")


def test_training_starts_from_a_file(home: Path, dataset: Dataset) -> None:
    first = train(home, dataset, config(), "first", "a")
    path = str(first.folder / GENERATOR)
    for variant in ("regression", "cgan", "egan"):
        settings = config(variant, start_from=path, generator={"adam": {"learning_rate": 1e-12}})
        assert settings.identity("x") != config(
            variant, generator={"adam": {"learning_rate": 1e-12}}
        ).identity("x")
        run = train(home, dataset, settings, variant, variant)
        old, new = (
            dict(open_model(Home(home), f"t/{name}", "cpu").colouriser.network.named_parameters())
            for name in ("first", variant)
        )
        assert run.status == "FINISHED" and all(
            torch.allclose(old[name], new[name], atol=1e-6) for name in old
        )


def test_weights_of_another_network_are_refused(home: Path, dataset: Dataset) -> None:
    first = train(home, dataset, config(), "first", "a")
    other = config(
        start_from=str(first.folder / GENERATOR), generator={"network": {"base_width": 8}}
    )
    with pytest.raises(ColourbenchError, match="belong to other networks"):
        train(home, dataset, other, "other", "b")
    with pytest.raises(ColourbenchError, match="start_from: there is no file"):
        train(home, dataset, config(start_from="/none.safetensors"), "none", "c")

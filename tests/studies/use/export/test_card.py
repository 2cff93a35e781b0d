from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from skimage import color

from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.model import read_model
from studies.runs.train import Place, train_run
from studies.use.export import card, formats
from studies.use.models import Model, open_model

FIELDS: dict[str, Any] = {
    "variant": {
        "name": "cgan",
        "generator": {"network": {"base_width": 4}},
        "critic": {"network": {"base_width": 4, "layers": 1}},
    },
    "dataset": "fields-32",
    "budget": {"amount": 8, "unit": "images"},
    "batches": {"size": 4},
    "watch": {"validations": 1, "preview_images": 0, "keep": "all"},
}


@pytest.fixture
def trained(home: Path, dataset: Dataset) -> Model:
    run = train_run(
        Home(home).store,
        dataset,
        parse(RunConfig, FIELDS),
        Place("t", "cgan seed 0", {"arm": "cgan"}),
    )
    return open_model(Home(home), run.id, "cpu")


def test_a_card_says_what_a_reader_must_know(
    trained: Model, home: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    described = card.described(Home(home), trained, "mit", "CC0")
    written = {formats.write(described, "safetensors", out)[0].name: 0.0}
    path = card.write(Home(home), described, out, card.About(written))
    loaded = ModelCard.load(path)
    assert loaded.data.license == "mit" and "cgan" in (loaded.data.tags or [])
    text = loaded.text
    for needed in (
        "CC0",
        "fields-32",
        "8 images",
        "Limits",
        "gallery.jpg",
        "base_width: 4",
        "| ΔE₀₀ ↓ |",
        "model.safetensors",
    ):
        assert needed in text, needed
    with Image.open(out / "gallery.jpg") as picture:
        count = min(len(dataset.split("test")), card.SHOWN)
        assert picture.size == (count * 32, 3 * 32)  # test photographs, three rows


def test_greys_figures_stand_beside_the_models(
    trained: Model, home: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """A network of two updates is worse than grey in ΔE₀₀, and the card says so."""
    text = card.write(Home(home), trained, tmp_path, card.About({})).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| ΔE₀₀ ↓ |")]
    own, grey = (float(cell.split()[0]) for cell in row.strip("| ").split(" | ")[1:])
    truth = dataset.split("test").photographs(np.arange(len(dataset.split("test"))))
    pictures = truth.permute(0, 2, 3, 1).numpy()
    lab = color.rgb2lab(pictures)
    expected = color.deltaE_ciede2000(lab, lab * [1, 0, 0]).mean()
    assert grey == pytest.approx(expected, abs=0.2)
    assert (own > grey) == ("**Worse than grey** in" in text and "ΔE₀₀" in text.split("Worse")[1])


def test_a_file_that_is_exported_again_keeps_name_and_licences(
    trained: Model, home: Path, tmp_path: Path
) -> None:
    described = card.described(Home(home), trained, "mit", "CC0")
    path, _ = formats.write(described, "safetensors", tmp_path / "first")
    elsewhere = Home(tmp_path / "another home")
    again = card.described(elsewhere, open_model(elsewhere, str(path), "cpu"), None, "")
    assert again.name == trained.name
    assert (again.about["licence"], again.about["data_licence"]) == ("mit", "CC0")
    second, _ = formats.write(again, "safetensors", tmp_path / "second")
    card_text = card.write(elsewhere, again, second.parent, card.About({})).read_text()
    assert "license: mit" in card_text and "Licence of the photographs: CC0" in card_text
    assert open_model(elsewhere, str(second), "cpu").about == again.about
    # what is given wins
    changed = card.described(elsewhere, again, "cc-by-4.0", "")
    assert changed.about["licence"] == "cc-by-4.0"


def test_a_model_without_its_run_says_so(trained: Model, home: Path, tmp_path: Path) -> None:
    path, _ = formats.write(trained, "safetensors", tmp_path)
    elsewhere = open_model(Home(tmp_path / "home"), str(path), "cpu")
    text = card.write(
        Home(tmp_path / "home"), elsewhere, tmp_path, card.About({path.name: 0.0})
    ).read_text()
    assert (
        "not at hand" in text
        and "not scored" in text
        and "**not stated**" in text
        and "gallery" not in text
    )


def test_nothing_is_replaced_unasked(trained: Model, home: Path, tmp_path: Path) -> None:
    path, _ = formats.write(trained, "safetensors", tmp_path)
    with pytest.raises(ColourbenchError, match="exists; choose another --out, or add --force"):
        formats.check_free(tmp_path, ["safetensors"], "champion", force=False)
    formats.check_free(tmp_path, ["safetensors"], "champion", force=True)
    formats.check_free(tmp_path, ["onnx"], "champion", force=False)
    with pytest.raises(ColourbenchError, match="would replace itself"):
        formats.check_free(tmp_path, ["safetensors"], str(path), force=True)


def test_no_path_of_this_machine_is_published(trained: Model, tmp_path: Path) -> None:
    settings = trained.config.model_copy(
        update={"start_from": "/home/somebody/secret/model.safetensors"}
    )
    path, _ = formats.write(replace(trained, config=settings), "safetensors", tmp_path)
    assert (
        b"somebody" not in path.read_bytes()
        and read_model(path, "").config.start_from == "model.safetensors"
    )


def test_the_critic_goes_along(
    trained: Model, home: Path, dataset: Dataset, tmp_path: Path
) -> None:
    formats.write(trained, "safetensors", tmp_path)
    file = read_model(formats.with_critic(trained, tmp_path, formats.critic_of(trained)), "")
    assert file.critic and set(file.generator) == set(trained.colouriser.state_dict())
    again = open_model(Home(home), str(file.path), "cpu")
    assert formats.critic_of(again).keys() == file.critic.keys()
    settings = parse(RunConfig, FIELDS | {"start_from": str(file.path)})
    assert (
        train_run(Home(home).store, dataset, settings, Place("t", "tuned", {"arm": "tuned"})).status
        == "FINISHED"
    )
    alone = parse(
        RunConfig,
        FIELDS | {"watch": {"validations": 1, "preview_images": 0, "keep": "generator"}, "seed": 1},
    )
    run = train_run(Home(home).store, dataset, alone, Place("t", "alone", {"arm": "alone"}))
    with pytest.raises(ColourbenchError, match=r"watch\.keep=all"):
        formats.critic_of(open_model(Home(home), run.id, "cpu"))


def test_intervals_are_about_photographs() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(10, 2, 400)
    table = pd.DataFrame({"photograph": [f"p{i}" for i in range(400)], "delta_e": values})
    mean, low, high = (
        float(part.strip("[],")) for part in card.with_interval(table, "delta_e").split()
    )
    assert mean == pytest.approx(values.mean(), abs=0.01)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    # two tiles of a photograph say no more about others
    doubled = pd.concat([table, table])
    again = [float(part.strip("[],")) for part in card.with_interval(doubled, "delta_e").split()]
    assert again == pytest.approx([mean, low, high], abs=0.02)

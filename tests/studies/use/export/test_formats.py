"""Written models give torch's colours: in onnxruntime, as a torch program, as safetensors; alone and in batches, at odd sides."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from common.config import parse
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.use.export import formats
from studies.use.models import Model, open_model
from studies.use.prediction import pad_to_multiple
from variants.players.colouriser import Colouriser
from variants.registry import build

Make = Callable[..., Model]


def independent(colouriser: Colouriser, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    """The colours by the suite's own way of padding, with its fast convolutions."""
    height, width = inputs["L"].shape[2:]
    hints = pad_to_multiple(inputs["hints"], 32) if "hints" in inputs else None
    ab = colouriser(pad_to_multiple(inputs["L"], 32), inputs.get("label"), hints)
    return ab[..., :height, :width].numpy()


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({}, id="plain", marks=pytest.mark.integration),
        pytest.param({"hints": True, "labels": ("a", "b")}, id="told"),
    ],
)
@pytest.mark.parametrize("kind", ["safetensors", "onnx", "pt2"])
def test_a_file_gives_the_same_colours(
    kind: str, told: dict[str, Any], make_model: Make, tmp_path: Path
) -> None:
    model = make_model(**told)
    path, difference = formats.write(model, kind, tmp_path)
    assert path.name == f"model.{kind}" and difference < 1e-4
    session = onnxruntime.InferenceSession(str(path)) if kind == "onnx" else None
    program = torch.export.load(path).module() if kind == "pt2" else None
    for images, height, width in ((1, 32, 32), (3, 33, 71), (1, 7, 100)):
        inputs = {"L": torch.rand(images, 1, height, width) * 2 - 1}
        if told:
            inputs |= {
                "hints": torch.rand(images, 3, height, width),
                "label": torch.arange(images) - 1,
            }
        expected = independent(model.colouriser, inputs)
        if session:
            ab = np.asarray(
                session.run(["ab"], {name: value.numpy() for name, value in inputs.items()})[0]
            )
        elif program:
            ab = program(inputs.pop("L"), **inputs).detach().numpy()
        else:
            ab = independent(
                open_model(Home(tmp_path / "home"), str(path), "cpu").colouriser, inputs
            )
        assert ab.shape == expected.shape and np.abs(ab - expected).max() < 1e-3


@pytest.mark.integration
@pytest.mark.parametrize("encoder", ["resnet18", "legacy_xception"])
def test_encoders_are_written_too(encoder: str, make_model: Make, tmp_path: Path) -> None:
    network = {
        "kind": "backbone",
        "encoder": encoder,
        "pretrained": False,
        "decoder_width": 32,
        "attention": True,
    }
    seed_everything(0)
    variant = {"name": "regression", "generator": {"network": network}}
    config = parse(RunConfig, {"variant": variant, "dataset": "none"})
    from common.loop.engine import EngineConfig

    colouriser = build(
        config.variant, Engine(EngineConfig(device="cpu", precision="32")), Domain(64)
    ).colourise
    colouriser.network.train()
    for _ in range(3):
        colouriser.network(torch.rand(2, 1, 64, 64))
    for kind in ("onnx", "pt2"):
        assert formats.write(Model("m", colouriser, config, []), kind, tmp_path)[1] < 1e-3


def test_what_no_file_can_hold_is_said(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    model.colouriser.test_time = "noise"
    with pytest.raises(ColourbenchError, match="test_time=noise"):
        formats.write(model, "onnx", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_disagrees_is_removed(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr(formats, "largest_difference", lambda model, call: 0.01)
    with pytest.raises(ColourbenchError, match="would differ by"):
        formats.write(model, "safetensors", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_the_exported_program_needs_nothing_of_the_suite(make_model: Make, tmp_path: Path) -> None:
    """A process that cannot import the suite loads and runs the pt2 file."""
    path, _ = formats.write(make_model(), "pt2", tmp_path)
    code = f"import torch; print(tuple(torch.export.load({str(path)!r}).module()(torch.zeros(3, 1, 40, 50)).shape))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(3, 2, 40, 50)"


@pytest.mark.integration  # half a minute
def test_the_model_that_ships_can_be_exported(tmp_path: Path) -> None:
    """Its encoder has TensorFlow's padding, which tracing for any size did not survive."""
    model = open_model(Home(tmp_path), "starter")
    path, difference = formats.write(model, "onnx", tmp_path)
    assert path.is_file() and difference < 1e-4

"""Three small models, one of which takes hints and one labels, and the page on them: in this process, or as `colourbench serve`."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from common.config import parse
from common.data.domain import Domain
from common.loop.engine import Engine, EngineConfig
from common.loop.randomness import seed_everything
from studies.pages.colourise.app import make_app
from studies.pages.colourise.settings import ServeSettings
from studies.pages.colourise.work import Work
from studies.runs.configuration import RunConfig
from studies.runs.model import write_model
from studies.use.models import Model
from variants.players.colouriser import Colouriser
from variants.regression import Regression

ROOT = Path(__file__).resolve().parents[4]
LABELS = ["field", "sea"]
VERB = "import typer; from studies.commands.serve import serve; typer.run(serve)"


def settings_of(**generator: Any) -> RunConfig:
    variant = {"name": "regression", "generator": {"network": {"base_width": 4}, **generator}}
    return parse(RunConfig, {"variant": variant, "dataset": "fields-32"})


def small_model(name: str, seed: int, known: list[str], **generator: bool) -> Model:
    """As `vivid`, and it takes hints or the labels that it knows."""
    seed_everything(seed)
    config = settings_of(**generator)
    engine = Engine(EngineConfig(device="cpu", precision="32"))
    colouriser = Regression(config.variant, engine, Domain(32, len(known))).colourise
    with torch.no_grad():
        for parameter in colouriser.network.parameters():
            # what starts at zero, as labels do, must show too
            parameter.mul_(3).add_(torch.randn_like(parameter), alpha=0.05)
    return Model(name, colouriser, config, known)


def told() -> list[Model]:
    """One model that takes hints and one that takes labels."""
    return [
        small_model("hinted", 1, [], hints=True),
        small_model("labelled", 2, LABELS, labels=True),
    ]


@pytest.fixture
def models(vivid: Colouriser) -> list[Model]:
    """One that takes nothing, one that takes hints, one that takes labels."""
    return [Model("plain", vivid, settings_of(), []), *told()]


@dataclass
class Page:
    """The page in this process."""

    client: TestClient
    work: Work

    def send(self, data: bytes, model: str = "plain", **asked: Any) -> Any:
        """Asks for a photograph in colour."""
        headers = asked.pop("headers", {"content-type": "image/png"})
        return self.client.post(
            "/colourise", params={"model": model, **asked}, content=data, headers=headers
        )

    def colours(self, data: bytes, model: str = "plain", **asked: Any) -> np.ndarray:
        """The result's pixels."""
        reply = self.send(data, model, **asked)
        assert reply.status_code == 200, reply.text
        with Image.open(io.BytesIO(reply.content)) as image:
            assert (
                image.format is not None
                and reply.headers["content-type"] == f"image/{image.format.lower()}"
            )
            return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def make_page(models: list[Model]) -> Iterator[Callable[..., Page]]:
    """Makes the page with these limits."""
    with ExitStack() as stack:

        def make(**limits: Any) -> Page:
            settings = ServeSettings(**{"rate": 100_000, **limits})
            work = stack.enter_context(Work(settings))
            client = stack.enter_context(
                TestClient(make_app(models, settings, work), base_url="http://127.0.0.1")
            )
            return Page(client, work)

        yield make


@pytest.fixture
def page(make_page: Callable[..., Page]) -> Page:
    """The page with the usual limits."""
    return make_page()


@pytest.fixture(scope="session")
def photo(make_photograph: Callable[..., np.ndarray]) -> bytes:
    """A photograph's file."""
    return as_file(make_photograph(0, (48, 64)))


def as_file(rgb: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def make_file() -> Callable[..., bytes]:
    """Pixels as a picture's file."""
    return as_file


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of two models: `hinted` takes hints, `labelled` labels."""
    folder = tmp_path_factory.mktemp("models")
    for model in told():
        path, labels = folder / f"{model.name}.safetensors", model.labels
        write_model(path, model.colouriser.state_dict(), model.config, 32, labels)
    return sorted(folder.glob("*.safetensors"))


@pytest.fixture(scope="session")
def serving(model_files: list[Path]) -> Callable[..., Any]:
    """Runs the verb `serve` on them as a process of its own, as a context; gives its address and the process."""

    @contextmanager
    def run(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        command = [sys.executable, "-c", VERB, *map(str, model_files), "--port", "0", *options]
        # as the tests of this process
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            url = re.search(r"http://\S+:\d+", process.stdout.readline())
            assert url, "the server did not start"
            yield url[0], process
        finally:
            process.kill()
            process.communicate()

    return run


@pytest.fixture(scope="session")
def address(serving: Callable[..., Any]) -> Iterator[str]:
    """A server with one place."""
    with serving("--queue", "0") as (url, _):
        yield url


@pytest.fixture(scope="module")
def large() -> bytes:
    """A photograph's file that takes a while to decode."""
    file = io.BytesIO()
    Image.effect_noise((4000, 3000), 20).convert("RGB").save(file, "JPEG", progressive=True)
    return file.getvalue()

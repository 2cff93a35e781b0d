"""The whole way on a real PostgreSQL and a real MLflow server that keeps the artifacts itself."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from common.config import parse
from common.errors import ColourbenchError
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.model import load_run
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep

pytestmark = pytest.mark.integration


def config() -> RunConfig:
    network = {"network": {"base_width": 4}}
    data = {
        "variant": {"name": "cgan", "generator": network, "critic": network},
        "dataset": "fields-32",
        "budget": {"amount": 32, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 2, "validation_images": 8, "preview_images": 0},
    }
    return parse(RunConfig, data)


@pytest.fixture
def databases(postgres: str) -> dict[str, str]:
    """Two databases on one server, for MLflow and for Optuna: both keep a table alembic_version."""
    with psycopg.connect(
        postgres.replace("postgresql+psycopg", "postgresql"), autocommit=True
    ) as connection:
        for name in ("mlflow", "optuna"):
            connection.execute(f"CREATE DATABASE {name}")
    return {name: postgres.rpartition("/")[0] + f"/{name}" for name in ("mlflow", "optuna")}


@pytest.fixture
def server(databases: dict[str, str], tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "server", "--backend-store-uri", databases["mlflow"], "--serve-artifacts"]
    command += [
        "--artifacts-destination",
        str(tmp_path / "kept"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        assert process.poll() is None, (tmp_path / "server.log").read_text()
        try:
            with urlopen(f"{url}/health", timeout=1):
                break
        except OSError:
            time.sleep(0.5)
    yield url
    process.terminate()
    process.wait(timeout=30)
    log.close()


def test_a_sweep_ends_well_and_its_champion_colours(
    server: str,
    databases: dict[str, str],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    rooms = Home(home)
    run_sweep(
        rooms,
        Sweep(name="s", base=config(), trials=2, storage=databases["optuna"]),
        lambda text: None,
    )
    champion = rooms.store.run("champion")
    colouriser, _ = load_run(champion, "cpu")
    assert colouriser.size == 32
    assert list((tmp_path / "kept").rglob("generator.safetensors"))  # on the server's side
    assert not (Path.cwd() / "mlruns").exists()


def test_one_database_for_both_is_refused(
    databases: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases["optuna"])
    with pytest.raises(ColourbenchError, match="CREATE DATABASE optuna"):
        run_sweep(
            Home(home),
            Sweep(name="s", base=config(), trials=2, storage=databases["optuna"]),
            lambda text: None,
        )


def test_a_dead_server_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{probe.getsockname()[1]}")
    began = time.monotonic()
    with pytest.raises(ColourbenchError, match=r"cannot open MLflow's store http://127\.0\.0\.1"):
        _ = Home(home).store
    assert time.monotonic() - began < 30

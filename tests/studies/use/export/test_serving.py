"""The registered champion behind `mlflow models serve`: a program that knows nothing of the suite colourises over HTTP."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch

from common.config import parse
from common.data.shards import Dataset
from common.tracking.store import model_name
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, RunOptions, train_run
from studies.sweeps.champion import propose
from studies.use.models import open_model

FIELDS: dict[str, Any] = {
    "variant": {"name": "regression", "generator": {"network": {"base_width": 4}}},
    "dataset": "fields-32",
    "budget": {"amount": 8, "unit": "images"},
    "batches": {"size": 4},
    "engine": {"precision": "32"},
    "watch": {"validations": 1, "preview_images": 0},
}


@pytest.mark.integration
def test_mlflow_serves_the_champion(home: Path, dataset: Dataset) -> None:
    rooms = Home(home)
    run = train_run(
        rooms.store,
        dataset,
        parse(RunConfig, FIELDS),
        Place("t", "a", {"arm": "a"}),
        RunOptions(test=False),
    )
    assert propose(rooms, run, dataset).crowned
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    uri = f"models:/{model_name(dataset.name)}@champion"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        uri,
        "--env-manager",
        "local",
        "-p",
        str(port),
    ]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": rooms.store.uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        L = torch.rand(3, 1, 32, 32) * 2 - 1
        answer = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": L.tolist()})
        expected = open_model(rooms, run.id, "cpu").colouriser(L).numpy()
        assert np.abs(np.array(answer["predictions"]) - expected).max() < 1e-3
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def ask(address: str, question: dict[str, Any]) -> dict[str, Any]:
    """Asks until the server is up."""
    deadline = time.monotonic() + 120
    while True:
        try:
            reply = httpx.post(address, json=question, timeout=60)
            assert reply.status_code == 200, reply.text
            return dict(reply.json())
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(1)

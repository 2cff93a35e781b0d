"""The registry's champion: loads without the suite, and changes hands only on a significant difference."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from common.config import parse
from common.data.shards import Dataset
from common.tracking import Run
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.model import load_run
from studies.runs.train import Place, RunOptions, train_run
from studies.sweeps import champion
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep

LOAD = """
import sys, mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/colouriser-fields-32@champion")
np.save(sys.argv[1], model.predict(np.load(sys.argv[2])))
"""


def settings(dataset: Dataset, seed: int, name: str = "regression") -> dict[str, Any]:
    return {
        "variant": {"name": name, "generator": {"network": {"base_width": 4}}},
        "dataset": dataset.name,
        "seed": seed,
        "budget": {"amount": 16, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32"},
        "watch": {"validations": 1, "preview_images": 0},
    }


def trained(rooms: Home, dataset: Dataset, seed: int, name: str = "regression") -> Run:
    fields = settings(dataset, seed, name)
    run = train_run(
        rooms.store,
        dataset,
        parse(RunConfig, fields),
        Place("t", f"run {seed}", {}),
        RunOptions(test=False),
    )
    return rooms.store.run(run.id)


def test_the_first_is_crowned_and_loads_without_the_suite(
    home: Path, dataset: Dataset, tmp_path: Path
) -> None:
    rooms = Home(home)
    run = trained(rooms, dataset, 0)
    verdict = champion.propose(rooms, run, dataset)
    assert verdict.crowned and verdict.version == "1"
    crowned = rooms.store.champion("colouriser-fields-32")
    assert crowned is not None and crowned.id == run.id
    L = torch.rand(5, 1, 32, 32) * 2 - 1
    torch_L, out = tmp_path / "L.npy", tmp_path / "ab.npy"
    import numpy as np

    np.save(torch_L, L.numpy())
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": rooms.store.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    subprocess.run(
        [sys.executable, "-c", LOAD, str(out), str(torch_L)],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    colouriser, _ = load_run(run, "cpu")
    assert torch.allclose(torch.from_numpy(np.load(out)), colouriser(L), atol=1e-5)


def test_a_finished_sweep_proposes_its_winner(home: Path, dataset: Dataset) -> None:
    rooms = Home(home)
    said: list[str] = []
    best = run_sweep(
        rooms, Sweep(name="s", base=parse(RunConfig, settings(dataset, 0)), trials=2), said.append
    )
    crowned = rooms.store.champion(f"colouriser-{dataset.name}")
    assert crowned is not None and crowned.id == best.user_attrs["mlflow_run"]
    assert any("is the champion" in line for line in said)


@pytest.mark.parametrize(("shift", "crowned"), [(-1.0, True), (0.0, False), (1.0, False)])
@pytest.mark.parametrize("photographs", [30, 1])
def test_the_alias_moves_only_where_the_test_says_so(
    shift: float,
    crowned: bool,
    photographs: int,
    home: Path,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowned = crowned and photographs > 1  # one photograph tells nothing
    # takes seconds
    monkeypatch.setattr(
        "mlflow.pytorch.save_model", lambda network, path, **how: Path(path).mkdir()
    )
    rooms = Home(home)
    first, second = trained(rooms, dataset, 0), trained(rooms, dataset, 1)
    champion.propose(rooms, first, dataset)
    images = [f"{n}#0" for n in range(30)]
    noise = torch.linspace(-0.3, 0.3, 30)[
        torch.randperm(30, generator=torch.Generator().manual_seed(0))
    ].tolist()
    for run, values in (
        (first, [10.0 + n / 10 for n in range(30)]),
        (second, [10.0 + n / 10 + shift + e for n, e in enumerate(noise)]),
    ):
        table = pd.DataFrame({"image": images, "photograph": images, "delta_e": values})
        table.head(photographs).to_parquet(
            run.folder / champion.SCORES.format(split=dataset.fingerprint[:16])
        )
    verdict = champion.propose(rooms, second, dataset)
    assert verdict.crowned == crowned and verdict.version == "2" and "ΔE₀₀" in verdict.reason
    assert ("too small to tell" in verdict.reason) == (
        photographs == 1
    ) and "nan" not in verdict.reason
    holder = rooms.store.champion(verdict.model)
    assert holder is not None and holder.id == (second if crowned else first).id
    # proposed again it stays what it is
    assert champion.propose(rooms, holder, dataset).crowned

"""Two ranks make the same step as one rank with their two batches together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.config import parse
from common.domain import Domain
from common.errors import ColourbenchError
from studies.commands.options import one_process
from studies.run_config import RunConfig
from variants.cgan import Cgan, CganConfig

STEP = """
import sys, json, torch
from common.batches import Batch
from common.config import parse
from common.domain import Domain
from common.engine import Engine, EngineConfig, seed_everything
from variants.registry import VARIANTS, build

torch.set_num_threads(1)
name, fields, precision, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
engine = Engine(EngineConfig.model_validate({"device": "cpu", "precision": precision}))
seed_everything(0)
variant = build(parse(VARIANTS[name].Config, fields), engine, Domain(32, 3))
draw = torch.Generator().manual_seed(1)

def batches():
    while True:
        L, ab = torch.rand(8, 1, 32, 32, generator=draw) * 2 - 1, torch.rand(8, 2, 32, 32, generator=draw) - 0.5
        label = torch.randint(3, (8,), generator=draw)
        share = slice(engine.rank * 8 // engine.ranks, (engine.rank + 1) * 8 // engine.ranks)
        yield Batch(L[share], ab[share], label[share])

stream = batches()
won = []
for _ in range(3):
    losses = variant.step(stream)
    won.append(sorted(key for key, value in losses.items() if key.startswith("mutation_") and value == 1))
if engine.rank == 0:
    weights = {f"{i}.{k}": v for i, p in enumerate(variant.players) for k, v in p.network.state_dict().items()}
    torch.save({"weights": weights, "won": won}, out)
"""

WIDTH = {"network": {"base_width": 8, "dropout": 0.0}}
CASES = {
    "regression": ("regression", {"generator": WIDTH}),
    "cgan": ("cgan", {"generator": WIDTH | {"labels": True}, "critic": {"network": {"base_width": 8, "projection": True}}}),
    "wgan_gp": ("wgan_gp", {"generator": WIDTH, "critic": {"network": {"base_width": 8}}, "n_critic": 2}),
    "egan": ("egan", {"generator": WIDTH, "critic": {"network": {"base_width": 8}}, "parents": 2}),
}


def step(case: str, precision: str, processes: int, out: Path) -> dict[str, dict[str, torch.Tensor]]:
    name, fields = CASES[case]
    script = out.with_suffix(".py")
    script.write_text(STEP)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(script), name, json.dumps(fields), precision, str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, torch.Tensor]] = torch.load(out, weights_only=True)
    return found


@pytest.mark.parametrize(("case", "precision"), [*((case, "32") for case in CASES), ("wgan_gp", "bf16")])
def test_two_ranks_are_one_with_the_doubled_batch(case: str, precision: str, tmp_path: Path) -> None:
    one, two = (step(case, precision, processes, tmp_path / f"{processes}.pt") for processes in (1, 2))
    assert one["won"] == two["won"]  # the same children survive
    pairs = [(one["weights"][name].float(), two["weights"][name].float()) for name in one["weights"]]
    differences = torch.cat([(a - b).abs().flatten() for a, b in pairs])
    # Adam's first steps are ±learning rate whatever a gradient's size, so elements with a gradient of 0 may differ by that much
    assert (differences > (1e-5 if precision == "32" else 3e-4)).float().mean() < 2e-3
    assert differences.median() < (1e-6 if precision == "32" else 1e-5)


@pytest.mark.slow
def test_torchrun_trains_a_run(home: Path) -> None:
    def torchrun(*words: str) -> "subprocess.CompletedProcess[str]":
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "colourbench"]
        small = [
            "variant.generator.network.base_width=4",
            "variant.critic.network.base_width=4",
            "batches.size=4",
            "engine.device=cpu",
        ]
        options = [word for setting in small for word in ("--set", setting)]
        command = [*launcher, *words, "--home", str(home), *(options if words[0] == "train" else [])]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    done = torchrun("train", "cgan", "--data", "fields-32", "--images", "32", "--set", "watch.validations=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("is trained") == 1  # one rank speaks
    from studies.home import Home

    (run,) = Home(home).store.find("train", {})
    assert run.status == "FINISHED" and run.metrics["images"] == 32 and "test/delta_e" in run.metrics
    assert len(run.history("validation/delta_e")) == 2


def test_what_cannot_work_on_several_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ColourbenchError, match="torchrun is for one training"):
        one_process("sweep")
    with pytest.raises(ColourbenchError, match="would end each device at another step"):
        parse(RunConfig, {"variant": {"name": "cgan"}, "dataset": "x", "budget": {"unit": "seconds"}})
    for fields, reason in (
        ({"objective": "relativistic"}, "train it on one device"),
        ({"test_time": "dropout"}, "batch statistics of all"),
    ):
        with pytest.raises(ColourbenchError, match=reason):
            Cgan.check(parse(CganConfig, fields), Domain(64))

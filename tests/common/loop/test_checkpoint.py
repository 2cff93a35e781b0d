import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from common.errors import ColourbenchError
from common.loop import checkpoint


def state(value: float = 1.0) -> checkpoint.State:
    return {"weights": torch.full((1000,), value), "step": int(value), "names": ["a", "b"]}


def test_round_trip_and_names(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(3.0), 42)
    assert path.name.startswith("checkpoint-000000000042-")
    loaded = checkpoint.latest(tmp_path)[1]
    assert (
        loaded is not None
        and loaded["step"] == 3
        and torch.equal(loaded["weights"], state(3.0)["weights"])
    )
    assert torch.load(path, weights_only=True)["step"] == 3  # plain torch opens it too


def test_the_previous_one_is_kept_and_older_ones_go(tmp_path: Path) -> None:
    for number in range(5):
        checkpoint.save(tmp_path, state(number), number)
    assert [path.name[:23] for path in sorted(tmp_path.iterdir())] == [
        "checkpoint-000000000003",
        "checkpoint-000000000004",
    ]


def test_damage_falls_back_to_the_previous_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    newest = checkpoint.save(tmp_path, state(2), 2)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 0xFF
    newest.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match="damaged"):
        loaded = checkpoint.latest(tmp_path)[1]
    assert loaded is not None and loaded["step"] == 1
    with pytest.raises(checkpoint.DamagedCheckpoint):
        checkpoint.load(newest)


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) == (None, None)
    with pytest.raises(ColourbenchError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    for name, write in (("a.pt", lambda path: path.write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))),
                        ("b.pt", lambda path: torch.save({"x": Malicious(tmp_path / "ran")}, path))):  # fmt: skip
        write(tmp_path / name)
        with pytest.raises(ColourbenchError, match="tensors and plain values"):
            checkpoint.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_non_finite_weights_are_refused_by_name(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    with pytest.raises(ColourbenchError, match=r"variant\.weights holds NaN"):
        checkpoint.save(tmp_path, {"variant": {"weights": torch.tensor([1.0, float("nan")])}}, 2)
    loaded = checkpoint.latest(tmp_path)[1]
    assert loaded is not None and loaded["step"] == 1


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from common.loop import checkpoint
from common.errors import ColourbenchError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(Path(sys.argv[1]), {"weights": torch.zeros(1_000_000), "step": 2}, 2)
except ColourbenchError as error:
    print("told:", error)
"""


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), 1)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (
        done.stdout.startswith("told: cannot save a checkpoint") and "File too large" in done.stdout
    ), done.stdout + done.stderr
    assert len(list(tmp_path.iterdir())) == 1
    loaded = checkpoint.latest(tmp_path)[1]
    assert loaded is not None and loaded["step"] == 1


SAVER = """
import torch
from common.loop import checkpoint
loaded = checkpoint.latest(folder)[1]
step = loaded["step"] if loaded else 0
acknowledged.send(None)
while True:
    step += 1
    checkpoint.save(folder, {"weights": torch.full((300_000,), float(step)), "step": step}, step)
    acknowledged.send(step)
"""


def test_kills_at_random_moments_leave_a_whole_checkpoint(
    tmp_path: Path, child: Callable[..., BaseProcess]
) -> None:
    """Real SIGKILLs of a process that does nothing but save: what it acknowledged is there, and nothing is left over."""
    draw = random.Random(0)
    for _ in range(10):
        here, there = multiprocessing.Pipe(duplex=False)
        process = child(SAVER, folder=tmp_path, acknowledged=there)
        there.close()
        assert here.poll(60)
        here.recv()
        time.sleep(draw.uniform(0.02, 0.2))
        process.kill()
        process.join()
        steps = _received(here)
        loaded = checkpoint.latest(tmp_path)[1]
        if steps:
            assert loaded is not None and loaded["step"] >= steps[-1]
            assert torch.equal(loaded["weights"], torch.full((300_000,), float(loaded["step"])))
    assert all(path.name.startswith("checkpoint-") for path in tmp_path.iterdir())


def _received(pipe: Connection) -> list[int]:
    """The steps that were acknowledged before the end."""
    steps: list[int] = []
    while True:
        try:
            steps.append(int(pipe.recv()))
        except EOFError:
            return steps

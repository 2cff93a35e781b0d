"""Compiled loops: what they compute is tested where they are used; here how they are compiled and shared out."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from common import kernels


def test_photographs_come_back_in_their_order() -> None:
    first, second = np.arange(40.0), np.arange(40.0, 80.0)
    assert kernels.for_each(lambda a, b: a + b, first, second) == (first + second).tolist()


def test_as_many_threads_as_torch_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(3, timeout=10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    kernels.for_each(lambda _: meeting.wait(), np.zeros(3))  # would time out on fewer

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    names = kernels.for_each(lambda _: threading.current_thread().name, np.zeros(3))
    assert set(names) == {threading.current_thread().name}


def test_an_error_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        kernels.for_each(lambda x: 1 // int(x), np.array([1, 0, 1]))


def test_nothing_gives_nothing() -> None:
    assert kernels.for_each(lambda x: x, np.zeros((0, 3))) == []


KERNEL = """
from common.kernels import kernel

@kernel
def doubled(x):
    return x + x
"""
RUN = """
import sys
sys.path[:0] = ["{root}", "{folder}"]
{first}
import program
print(program.doubled(2.5))
"""


def run(folder: Path, kept: Path, first: str = "", source: str = KERNEL) -> str:
    """What a process of its own prints that calls a kernel."""
    (folder / "program.py").write_text(source)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", RUN.format(root=root, folder=folder, first=first)]
    ran = subprocess.run(command, capture_output=True, text=True, env={"NUMBA_CACHE_DIR": str(kept), "PATH": ""})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_what_is_compiled_is_kept_for_each_version_and_processor(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    other = "import llvmlite.binding; llvmlite.binding.get_host_cpu_name = lambda: 'another'"
    assert run(tmp_path, kept) == run(tmp_path, kept) == run(tmp_path, kept, other) == "5.0"
    assert len(list(kept.iterdir())) == 2
    assert run(tmp_path, kept, source=KERNEL.replace("x + x", "x + x + x")) == "7.5"
    assert len(list(kept.iterdir())) == 3


def test_without_a_place_to_keep_it_a_kernel_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run(tmp_path, tmp_path / "file") == "5.0"


def test_a_full_disk_does_not_stop_a_kernel(tmp_path: Path) -> None:
    full = (
        "import numba.core.caching as c, errno\ndef save(*_): raise OSError(errno.ENOSPC, 'full')\nc.IndexDataCacheFile.save = save"
    )
    assert run(tmp_path, tmp_path / "kept", full) == "5.0"


def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to a pool whose threads stayed behind would never come back."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    kernels.for_each(lambda x: x, np.zeros(4))
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        kernels.for_each(lambda x: x, np.zeros(4))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

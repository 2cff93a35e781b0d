"""Compiled loops: what they compute is tested where they are used; here how they are compiled and shared out."""

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


@pytest.mark.parametrize("is_writable", [True, False])
def test_a_kernel_is_kept_on_disk_where_that_can_be(tmp_path: Path, is_writable: bool) -> None:
    """A container whose folders are read-only compiles anew in every process."""
    program = tmp_path / "doubled.py"
    program.write_text(
        "from common.kernels import kernel\n\n\n@kernel\ndef doubled(x):\n    return x + x\n\n\nprint(doubled(2.5))\n"
    )
    blocked = "" if is_writable else "import numba.core.caching as c; c.CacheImpl._locator_classes = []; "
    ran = subprocess.run(
        [sys.executable, "-c", f"{blocked}import sys, runpy; sys.path.insert(0, '.'); runpy.run_path({str(program)!r})"],
        capture_output=True,
        text=True,
        env={"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PATH": ""},
        cwd=Path(__file__).resolve().parents[2],
    )
    assert ran.stdout.strip() == "5.0", ran.stderr
    assert bool(list(tmp_path.rglob("*.nbi"))) == is_writable

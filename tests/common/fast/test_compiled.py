"""Compiled loops: what they compute is tested where they are used; here how they are compiled and shared out."""

import errno
import importlib.util
import os
import signal
import threading
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest
import torch

from common.fast import compiled as loops


def test_photographs_come_back_in_their_order() -> None:
    first, second = np.arange(40.0), np.arange(40.0, 80.0)
    assert loops.for_each(lambda a, b: a + b, first, second) == (first + second).tolist()


def test_as_many_threads_as_torch_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(3, timeout=10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    loops.for_each(lambda _: meeting.wait(), np.zeros(3))  # would time out on fewer

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    names = loops.for_each(lambda _: threading.current_thread().name, np.zeros(3))
    assert set(names) == {threading.current_thread().name}


def test_an_error_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        loops.for_each(lambda x: 1 // int(x), np.array([1, 0, 1]))


def test_nothing_gives_nothing() -> None:
    assert loops.for_each(lambda x: x, np.zeros((0, 3))) == []


KERNEL = """
from common.fast.compiled import kernel


@kernel
def doubled(x):
    return x + x
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is compiled is kept."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def doubled(folder: Path, source: str = KERNEL) -> float:
    """What a program with a kernel makes of 2.5, loaded and compiled anew."""
    program = folder / "program.py"
    program.write_text(source)
    spec = importlib.util.spec_from_file_location("program", program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return float(module.doubled(2.5))


def test_what_is_compiled_is_kept_for_each_version_and_processor(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doubled(tmp_path) == 5.0
    (compiled,) = kept.rglob("*.nbc")
    written = compiled.stat().st_mtime_ns
    assert doubled(tmp_path) == 5.0 and compiled.stat().st_mtime_ns == written

    assert doubled(tmp_path, KERNEL.replace("x + x", "x + x + x")) == 7.5
    assert len(list(kept.iterdir())) == len(list(kept.rglob("*.nbc"))) == 2

    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_name", lambda: "another")
    assert loops._is_kept(tmp_path / "program.py")
    assert len(list(kept.iterdir())) == 3


def test_without_a_place_to_keep_it_a_kernel_runs_all_the_same(kept: Path, tmp_path: Path) -> None:
    kept.touch()
    assert doubled(tmp_path) == 5.0


def test_without_a_home_a_kernel_runs_all_the_same(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, for a user whom it does not know."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~nobody-here").expanduser())
    assert doubled(tmp_path) == 5.0


def test_it_is_kept_where_caches_are(
    monkeypatch: pytest.MonkeyPatch, kept: Path, tmp_path: Path
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert doubled(tmp_path) == 5.0 and list((tmp_path / "caches" / "colourbench").rglob("*.nbc"))


def test_a_full_disk_does_not_stop_a_kernel(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", save)
    assert doubled(tmp_path) == 5.0
    assert not list(kept.rglob("*.nbc"))


def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to a pool whose threads stayed behind would never come back."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    loops.for_each(lambda x: x, np.zeros(4))
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        loops.for_each(lambda x: x, np.zeros(4))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

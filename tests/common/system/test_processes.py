"""Calls in another process: answers, errors as themselves, and an end without an answer."""

import importlib
import os
import signal
from pathlib import Path

import pytest

from common.errors import ColourbenchError
from common.system.integrity import Damaged, intact
from common.system.processes import Killed, OwnProcess, bare_process

UNKNOWN_ELSEWHERE = """
class Stubborn(Exception):
    pass
raise Stubborn("it says why")
"""
DEMANDING = """
import json
class Demanding(Exception):  # pickling keeps the message only, and the class wants two arguments
    def __init__(self, step, loss):
        super().__init__(f"step {step} ended with loss {loss}")
Demanding.__module__, json.Demanding = "json", Demanding
raise json.Demanding(3, 0.5)
"""
ECHO = """
import sys
from multiprocessing.connection import Connection

def serve(descriptor):
    line = Connection(descriptor)
    line.send_bytes(line.recv_bytes()[::-1])
    line.send((sys.stdin.read(), "torch" in sys.modules, "pytest" in sys.modules))
"""


def test_calls_are_answered_by_one_other_process(capfd: pytest.CaptureFixture[str]) -> None:
    with OwnProcess() as process:
        first, second = process.call(os.getpid), process.call(os.getpid)
        assert first == second != os.getpid()
        process.call(print, "a library says something")
    assert "a library" not in capfd.readouterr().out
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_errors_arrive_as_themselves() -> None:
    with OwnProcess() as process:
        with pytest.raises(ValueError, match="invalid literal"):
            process.call(int, "x")
        with pytest.raises(Damaged, match="is missing; look again"):
            process.call(intact, Path("/none"), "look again")
        # an error of a kind that only the other process knows
        with pytest.raises(ColourbenchError, match="it says why"):
            process.call(exec, UNKNOWN_ELSEWHERE)
        with pytest.raises(ColourbenchError, match=r"step 3 ended with loss 0\.5"):
            process.call(exec, DEMANDING)
        assert process.call(abs, -1) == 1


def test_a_killed_process_is_told() -> None:
    with OwnProcess() as process:
        pid = process.call(os.getpid)
        with pytest.raises(Killed, match="enough memory"):
            process.call(os.kill, pid, signal.SIGKILL)


def test_a_bare_process_has_nothing_but_its_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echo_backwards.py").write_text(ECHO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process, line = bare_process(importlib.import_module("echo_backwards").serve)
    with line:
        line.send_bytes(b"abc")
        assert line.recv_bytes() == b"cba"
        assert line.recv() == ("", False, False)
        assert process.wait(30) == 0
        with pytest.raises(EOFError):
            line.recv()

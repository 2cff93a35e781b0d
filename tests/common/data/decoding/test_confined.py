"""What a confined process may not do, and that its answers arrive as they were."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.data.decoding.confined import ConfinedProcess, Limits
from common.data.decoding.images import BadImage
from common.errors import ColourbenchError

HERE = Path(__file__).parent


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConfinedProcess]:
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    serve = importlib.import_module("taken_over").serve
    confined = ConfinedProcess(serve, Limits(pixels=8), {"side": 16})
    yield confined
    confined.close()


def test_facts_and_pictures_arrive_as_they_were(process: ConfinedProcess) -> None:
    process.ask("ä".encode())
    answer = process.answer()
    assert answer.facts == {"question": "ä", "pixels": 8, "side": 16}
    for sent, received in zip(
        importlib.import_module("taken_over").PICTURES, answer.pictures, strict=True
    ):
        assert np.array_equal(sent[:, ::2], received)


def test_a_reason_is_raised_and_the_next_question_answered(process: ConfinedProcess) -> None:
    process.ask(b"refuse")
    process.ask(b"again")
    with pytest.raises(BadImage, match="it is no photograph"):
        process.answer()
    assert process.answer().facts["question"] == "again"


def test_it_writes_no_file(process: ConfinedProcess, tmp_path: Path) -> None:
    process.ask(f"write {tmp_path / 'stolen'}".encode())
    with pytest.raises(ColourbenchError, match="OSError"):
        process.answer()
    assert (tmp_path / "stolen").read_bytes() == b""


def test_one_that_cannot_work_is_no_photographs_fault(process: ConfinedProcess) -> None:
    process.ask(b"leave")
    with pytest.raises((EOFError, OSError)):
        process.answer()
    with pytest.raises(ColourbenchError, match=r"could not work \(status 3\)"):
        process.why_it_ended()
    process.restart()
    process.ask(b"again")
    assert process.answer().facts["question"] == "again"


def test_an_answer_that_makes_no_sense_ends_the_process(process: ConfinedProcess) -> None:
    process.ask(b"boast")
    with pytest.raises(EOFError):
        process.answer()
    assert "SIGKILL" in str(process.why_it_ended())


def test_what_fails_for_another_reason_is_told(process: ConfinedProcess) -> None:
    process.ask(b"fail")
    with pytest.raises(ColourbenchError, match="RuntimeError: a broken decoder"):
        process.answer()
    process.ask(b"again")
    assert process.answer().facts["question"] == "again"

"""Names that any store can hold, and files that appear whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.system.atomic import appear_whole
from common.system.text import as_text, from_text


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_any_name_becomes_text_and_comes_back(name: bytes) -> None:
    raw = os.fsdecode(name)
    text = as_text(raw)
    assert text.encode().decode() == text  # UTF-8, as parquet and JSON want it
    assert from_text(text) == raw


def test_usual_names_stay_as_they_are() -> None:
    for name in ("dog.jpg", "Zürich/straße 1.jpg", "back\\slash.jpg", "猫.png"):
        assert as_text(name) == name == from_text(name)


def test_the_text_finds_the_file(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/r\xe9sum\xe9.jpg"
    Path(os.fsdecode(path)).touch()
    (file,) = tmp_path.iterdir()
    assert (
        as_text(file.name) == "r\\xe9sum\\xe9.jpg"
        and (tmp_path / from_text("r\\xe9sum\\xe9.jpg")).exists()
    )


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        appear_whole(tmp_path / "x.db", broken)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".tmp-new-x.db").write_text("of a process that was killed")
    (tmp_path / ".tmp-new-x.db-journal").write_text("and its journal")
    appear_whole(tmp_path / "x.db", Path.touch)
    appear_whole(tmp_path / "x.db", broken)  # it is there
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]

"""Lists of photographs as CSV files."""

from pathlib import Path

import pytest
from PIL import Image

from common.data.sources.folders import folder
from common.errors import ColourbenchError


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for name in ("a.png", "deep/b.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def test_paths_labels_and_splits(photographs: Path) -> None:
    path = photographs / "list.csv"
    path.write_text("path,label,split\na.png,cat,train\ndeep/b.png,,val\nc.png,dog,test\n")
    assert [(file.path, file.label, file.split) for file in folder(path)] == [
        (photographs / "a.png", "cat", "train"),
        (photographs / "deep" / "b.png", None, "validation"),
        (photographs / "c.png", "dog", "test"),
    ]


def test_only_paths(photographs: Path) -> None:
    path = photographs / "list.csv"
    path.write_text("\ufeffpath\na.png\n", encoding="utf-8")
    [file] = folder(path)
    assert (file.name, file.label, file.split) == ("a.png", None, None)


def test_a_list_that_a_spreadsheet_saved(photographs: Path) -> None:
    path = photographs / "list.csv"
    path.write_bytes("path,label\r\na.png,Bär\r\n".encode("cp1252"))
    assert [file.label for file in folder(path)] == ["Bär"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "needs a first line with the column path"),
        ("file\na.png\n", "needs a first line with the column path"),
        ("path\na.png\nx.png\ny.png\n", "names 2 files that are not there: x.png, y.png"),
        ("label,path\ncat\n", "names 1 files that are not there: \\(empty\\)"),
        ("path,split\na.png,holdout\n", "has the split 'holdout'"),
    ],
)
def test_what_is_wrong_is_named(content: str, reason: str, photographs: Path) -> None:
    path = photographs / "list.csv"
    path.write_text(content)
    with pytest.raises(ColourbenchError, match=reason):
        folder(path)

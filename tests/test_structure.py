"""What the floors promise beyond the import contracts."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("common", "variants", "studies", "analysis")


def python_files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def test_the_ground_knows_no_variant() -> None:
    named = [path.name for path in python_files("common") if re.search(r"cgan|wgan|egan", path.read_text(), re.IGNORECASE)]
    assert named == []


def test_the_scale_of_lab_stands_in_one_file() -> None:
    scaled = [
        path.name
        for path in python_files(*ROOMS)
        if re.search(r"[*/] ?(110|50)(\.0)?\b", path.read_text()) and path.name != "lab.py"
    ]
    assert scaled == []


@pytest.mark.parametrize("path", python_files(*ROOMS), ids=lambda path: path.name)
def test_files_say_what_they_are_and_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 350


def test_pins_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s/@]+", line) for line in lines)

"""What the layers promise beyond the import contracts: short files and functions, rooms of few things, one place for a fact."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from variants.registry import CLASSES

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("common", "variants", "studies", "analysis", "hpc")
MOST_THINGS = 9
LONGEST_FUNCTION = 40
LONGEST_FILE = 300


def python_files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def rooms() -> list[Path]:
    return sorted({path.parent for path in python_files(*PACKAGES)})


def test_common_names_no_variant() -> None:
    named = [path.name for path in python_files("common") if re.search(r"cgan|wgan|egan", path.read_text(), re.IGNORECASE)]
    assert named == []


def test_the_scale_of_lab_stands_in_one_file() -> None:
    scaled = [
        path.name
        for path in python_files(*PACKAGES)
        if re.search(r"[*/] ?(110|50)(\.0)?\b", path.read_text()) and path.name != "lab.py"
    ]
    assert scaled == []


def test_the_independence_contract_lists_every_variant() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independence,) = [contract for contract in contracts if contract["type"] == "independence"]
    assert set(independence["modules"]) == {target.partition(":")[0] for target in CLASSES.values()}


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(ROOT)))
def test_rooms_hold_few_things(room: Path) -> None:
    """Modules and rooms; the methods of `variants` and the verbs of `commands` may grow in number."""
    things = [
        path.name for path in room.iterdir() if path.name not in ("__init__.py", "__pycache__") and not path.name.startswith(".")
    ]
    things = [name for name in things if name.endswith(".py") or (room / name / "__init__.py").exists()]
    grow = {"variants": len(CLASSES) - 4, "commands": len(things)}
    assert len(things) <= MOST_THINGS + grow.get(room.name, 0), sorted(things)


@pytest.mark.parametrize("path", python_files(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_say_what_they_are_and_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def test_pins_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s/@]+", line) for line in lines)

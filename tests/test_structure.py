"""What the layers promise beyond the import contracts: short files, plain functions, rooms of few things, one place for a fact."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from variants.registry import CLASSES

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("common", "variants", "studies", "analysis", "hpc")
MOST_THINGS = 9
MOST_EXPRESSIONS = 150  # in a function; a line has five on average
LONGEST_FILE = 340


def python_files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def rooms() -> list[Path]:
    return sorted({path.parent for path in python_files(*PACKAGES)})


def test_common_names_no_variant() -> None:
    named = [
        path.name
        for path in python_files("common")
        if re.search(r"cgan|wgan|egan", path.read_text(), re.IGNORECASE)
    ]
    assert named == []


def test_the_scale_of_lab_stands_in_one_file() -> None:
    scaled = [
        path.name
        for path in python_files(*PACKAGES)
        if re.search(r"[*/] ?(110|50)(\.0)?\b", path.read_text()) and path.name != "lab.py"
    ]
    assert scaled == []


def test_the_independence_contract_lists_every_variant() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (independence,) = [contract for contract in contracts if contract["type"] == "independence"]
    assert set(independence["modules"]) == {target.partition(":")[0] for target in CLASSES.values()}


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(ROOT)))
def test_rooms_hold_few_things(room: Path) -> None:
    """Modules and rooms; the methods of `variants` and the verbs of `commands` may grow in number."""
    things = [
        path.name
        for path in room.iterdir()
        if path.name not in ("__init__.py", "__pycache__") and not path.name.startswith(".")
    ]
    things = [
        name for name in things if name.endswith(".py") or (room / name / "__init__.py").exists()
    ]
    grow = {"variants": len(CLASSES) - 4, "commands": len(things)}
    assert len(things) <= MOST_THINGS + grow.get(room.name, 0), sorted(things)


@pytest.mark.parametrize(
    "path", python_files(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_say_what_they_are_and_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    sizes = {node.name: expressions(node) for node in functions}
    assert {name: size for name, size in sizes.items() if size > MOST_EXPRESSIONS} == {}


def test_one_idea_a_line() -> None:
    """Five expressions a line of code on average, and hardly an assignment of a packed tuple."""
    lines = 0
    size = 0
    packed = 0
    for path in python_files(*PACKAGES):
        text = path.read_text()
        tree = ast.parse(text)
        lines += code_lines(text, tree)
        size += expressions(tree)
        packed += sum(is_packed(node) for node in ast.walk(tree))
    assert size / lines <= 5
    assert 1000 * packed / lines <= 1


def expressions(tree: ast.AST) -> int:
    return sum(isinstance(node, ast.expr) for node in ast.walk(tree))


def code_lines(text: str, tree: ast.AST) -> int:
    """Lines that are neither empty, nor a comment, nor part of a docstring."""
    written = [line.strip() for line in text.splitlines()]
    docs = 0
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            docs += (first.end_lineno or first.lineno) - first.lineno + 1
    return sum(bool(line) and not line.startswith("#") for line in written) - docs


def is_packed(node: ast.AST) -> bool:
    """Whether a node is `a, b = x, y`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def test_pins_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s/@]+", line) for line in lines)

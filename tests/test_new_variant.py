"""The README's recipe for a new variant, followed: one file and one line in the registry."""

import ast
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

import variants
from common.loop.engine import Engine
from variants import registry

ROOT = Path(__file__).resolve().parents[1]


def recipe() -> dict[str, str]:
    """The recipe's two pieces of code, by the file that the README puts them in."""
    section = (ROOT / "README.md").read_text().split("## Adding a variant")[1].split("\n## ")[0]
    return dict(re.findall(r"`(\S+\.py)`[^\n]*\n\n```python\n(.*?)```", section, re.DOTALL))


def contract() -> dict[str, Callable[..., None]]:
    """The tests that every variant of the registry must pass, by name."""
    spec = importlib.util.spec_from_file_location(
        "contract", ROOT / "tests" / "variants" / "test_contract.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    return {
        name: test for name, test in tests.items() if "name" in inspect.signature(test).parameters
    }


@pytest.fixture
def lsgan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The recipe's variant, its file in the package and its line in the registry."""
    pieces = recipe()
    assert set(pieces) == {"variants/lsgan.py", "variants/registry.py"}
    (tmp_path / "lsgan.py").write_text(pieces["variants/lsgan.py"])
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(tmp_path)])
    ((name, target),) = ast.literal_eval("{" + pieces["variants/registry.py"] + "}").items()
    monkeypatch.setitem(registry.CLASSES, name, target)
    registry.variant_class.cache_clear()
    yield name
    registry.variant_class.cache_clear()


def test_the_recipe_gives_a_variant_that_passes_the_contract(lsgan: str, engine: Engine) -> None:
    tests = contract()
    assert len(tests) >= 8
    for precision, test in product(("32", "bf16"), tests.values()):
        needed = inspect.signature(test).parameters
        if precision == "32" or "precision" in needed:
            given = {"name": lsgan, "engine": engine, "precision": precision}
            test(**{parameter: given[parameter] for parameter in needed})

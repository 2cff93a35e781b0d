"""The README's recipe for a new variant, followed: one file and one line in the registry."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def recipe() -> dict[str, str]:
    """The recipe's two pieces of code, by the file that the README puts them in."""
    section = (ROOT / "README.md").read_text().split("## Adding a variant")[1].split("\n## ")[0]
    return dict(re.findall(r"`(\S+\.py)`[^\n]*\n\n```python\n(.*?)```", section, re.DOTALL))


def test_the_recipe_gives_a_variant_that_passes_the_contract(tmp_path: Path) -> None:
    pieces = recipe()
    assert set(pieces) == {"variants/lsgan.py", "variants/registry.py"}
    for room in ("common", "variants", "analysis", "studies", "tests"):
        subprocess.run(["cp", "-r", str(ROOT / room), str(tmp_path)], check=True)
    for name in ("colourbench.py", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "variants" / "lsgan.py").write_text(pieces["variants/lsgan.py"])
    registry, anchor = tmp_path / "variants" / "registry.py", '    "cgan": "variants.cgan:Cgan",\n'
    text = registry.read_text()
    assert text.count(anchor) == 1
    registry.write_text(text.replace(anchor, f"{anchor}    {pieces['variants/registry.py'].strip()}\n"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/variants/test_contract.py", "-k", "lsgan"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout

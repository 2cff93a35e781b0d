"""Plants faults of one line each in a copy of the code, and counts those that the mirrored tests catch. Run by hand, not in CI.

    python tests/planted_faults.py --count 100 --seed 0

A fault is a slip that changes results: `<` for `>`, `+` for `-`, `*` for `/`, `and` for `or`, a lost `not` or minus, `True` for
`False`, `min` for `max`, a check that never refuses, `train` for `test`, `left` for `right`. Each is run against the test file of
the same name, then against the others of the same folder. Whatever survives is either a test that is missing or a change without an
effect; the latter stand in `WITHOUT_EFFECT`, with the reason.
"""

import argparse
import ast
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("analysis/statistics", "analysis/people", "studies/people", "variants", "common/data")
# pytest's exit statuses; a fault may stop a module from being imported
PASSED, FAILED, NOT_COLLECTED = (
    0,
    1,
    2,
)
LONGEST = 900  # seconds of tests; a fault that makes them hang is caught
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.LtE: ">",
    ast.Gt: "<=",
    ast.GtE: "<",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPERATORS: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
WORDS = {
    "train": "test",
    "test": "train",
    "left": "right",
    "right": "left",
    "first": "second",
    "second": "first",
}
# Survivors that were looked at: path, the changed line, and why nobody can tell the difference.
WITHOUT_EFFECT: dict[tuple[str, str], str] = {
    (
        "analysis/statistics/crossed.py",
        "candidates = range(2, (MOST_SEEDS - 1))",
    ): "the largest number of seeds that a plan looks at; nobody trains so many",
    (
        "studies/people/pictures.py",
        "np.savez(file, allow_pickle=True, **dict(self._versions))",
    ): "arrays of numbers are never pickled",
}


@dataclass(frozen=True)
class Fault:
    """One changed line of a file."""

    path: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n    - {self.before.strip()}\n    + {self.after.strip()}"


@dataclass(frozen=True)
class Outcome:
    """Whether the tests caught a fault, and how long they took, in seconds."""

    fault: Fault
    caught: bool
    seconds: float

    @property
    def has_no_effect(self) -> bool:
        """Whether the fault was found to change nothing."""
        return (self.fault.path, self.fault.after.strip()) in WITHOUT_EFFECT


def possible_faults(path: Path) -> list[Fault]:
    """All faults that could be planted in the functions of a file."""
    text = path.read_text()
    lines = text.splitlines()
    found = []
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                found += [_planted(path, lines, *change) for change in _changes(statement)]
    return list(dict.fromkeys(fault for fault in found if fault is not None))


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Nodes below a statement with the text that a fault puts in their place; what is only said is left alone."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.FunctionDef):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return  # lists of unequal length would be another fault first
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise):
        yield node.test, "False"
    if isinstance(node, ast.expr):
        yield from _changes_of(node)
    for field, value in ast.iter_fields(node):
        if field == "annotation":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changes(child)


def _changes_of(node: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if (
            type(operator) in COMPARISONS
        ):
            yield node, f"{ast.unparse(left)} {COMPARISONS[type(operator)]} {ast.unparse(right)}"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            yield node, f"({ast.unparse(left)} {OPERATORS[type(operator)]} {ast.unparse(right)})"
        case ast.BoolOp(op=operator, values=values):
            word = " or " if isinstance(operator, ast.And) else " and "
            yield node, "(" + word.join(ast.unparse(value) for value in values) + ")"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, ast.unparse(operand)
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=str(value)) if value in WORDS:
            yield node, f'"{WORDS[value]}"'
        case ast.Name(id=name) if name in CALLS:
            yield node, CALLS[name]


def _planted(path: Path, lines: list[str], node: ast.expr, text: str) -> Fault | None:
    """The fault that puts `text` in the place of a node; None if the node has more than one line."""
    if node.lineno != node.end_lineno:
        return None
    before = lines[node.lineno - 1]
    encoded = before.encode()  # the syntax tree counts bytes
    after = (encoded[: node.col_offset] + text.encode() + encoded[node.end_col_offset :]).decode()
    return Fault(str(path.relative_to(ROOT)), node.lineno, before, after)


def tests_of(fault: Fault) -> list[list[str]]:
    """The tests to run one after another until one catches the fault: the mirrored file, then the rest of its folder."""
    path = Path(fault.path)
    folder = Path("tests") / path.parent
    own = folder / f"test_{path.name}"
    files = sorted((ROOT / folder).rglob("test_*.py")) or sorted(
        (ROOT / folder.parent).rglob("test_*.py")
    )
    rest = [str(file.relative_to(ROOT)) for file in files if file != ROOT / own]
    return [[str(own)], rest] if (ROOT / own).is_file() else [rest]


def is_caught(fault: Fault, copy: Path) -> bool:
    """Plants the fault in a copy of the project, runs the tests there, and restores the file."""
    file = copy / fault.path
    text = file.read_text()
    lines = text.split("\n")
    lines[fault.line - 1] = fault.after
    file.write_text("\n".join(lines))
    try:
        return any(_fail(tests, copy) for tests in tests_of(fault))
    finally:
        file.write_text(text)


def _fail(tests: list[str], copy: Path) -> bool:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        *tests,
    ]
    try:
        status = subprocess.run(
            command, cwd=copy, capture_output=True, timeout=LONGEST, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return True
    if status not in (PASSED, FAILED, NOT_COLLECTED):
        raise RuntimeError(f"pytest ended with {status}: {' '.join(command)}")
    return status != PASSED


def copy_of_the_project(folder: Path) -> Path:
    """The files under version control, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def drawn(count: int, seed: int, only: str) -> list[Fault]:
    """So many faults, drawn from all that are possible in the four packages."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    faults = [fault for path in files for fault in possible_faults(path) if only in fault.path]
    return random.Random(seed).sample(faults, min(count, len(faults)))


def run(faults: list[Fault], workers: int) -> Iterator[Outcome]:
    """Tries the faults, some at a time, each worker in a copy of its own."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        copies: Queue[Path] = Queue()
        for number in range(workers):
            copies.put(copy_of_the_project(Path(folder) / str(number)))

        def try_one(fault: Fault) -> Outcome:
            copy, started = copies.get(), time.monotonic()
            try:
                return Outcome(fault, is_caught(fault, copy), time.monotonic() - started)
            finally:
                copies.put(copy)

        yield from pool.map(try_one, faults)


def main() -> None:
    """Plants the faults and prints those that survive, and the share that was caught."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="number of faults")
    parser.add_argument("--seed", type=int, default=0, help="which faults are drawn")
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out so many of them, which were tried before"
    )
    parser.add_argument("--only", default="", help="only in files whose path contains this")
    parser.add_argument("--workers", type=int, default=1, help="faults that are tried side by side")
    options = parser.parse_args()
    outcomes = []
    for outcome in run(
        drawn(options.count, options.seed, options.only)[options.skip :], options.workers
    ):
        outcomes.append(outcome)
        said = (
            "caught"
            if outcome.caught
            else "without effect"
            if outcome.has_no_effect
            else "SURVIVED"
        )
        print(
            f"{options.skip + len(outcomes):>4} {said} in {outcome.seconds:.0f} s  {outcome.fault}",
            flush=True,
        )
    counted = [outcome for outcome in outcomes if outcome.caught or not outcome.has_no_effect]
    caught = sum(outcome.caught for outcome in counted)
    print(f"{caught} of {len(counted)} faults were caught ({caught / max(1, len(counted)):.0%})")


if __name__ == "__main__":
    main()

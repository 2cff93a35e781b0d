"""What a study was declared with: rules, arms and seeds, written before their first run, and never forgotten when they change."""

from datetime import UTC, datetime
from typing import Any

from common.config import sha256
from common.errors import ColourbenchError
from common.system import integrity
from common.system.names import STUDY
from common.tracking.names import DECLARATIONS
from studies.comparisons.cells.arms import Cell
from studies.comparisons.cells.untrained import Comparison
from studies.home import Home


def record(comparison: Comparison, planned: list[Cell], by_rule: bool) -> list[dict[str, Any]]:
    """Returns every declaration of a study so far, with today's at the end if it differs from the last one.

    Each has its time, its rules (data set, budget, primary metric, margin), its arms with a hash of their settings, their seeds,
    the number of runs that were finished by then, and whether a stopping rule that was declared before (`--until`) added the seeds.
    """
    before = _before(comparison.home, comparison.study.name)
    rules = {"dataset": comparison.study.dataset, **comparison.study.declaration}
    now = {"rules": rules, "arms": _arms(planned), "seeds": _seeds(planned)}
    if before and all(before[-1][name] == value for name, value in now.items()):
        return before
    finished = len(
        [
            run
            for run in comparison.home.store.find(comparison.study.name, {"kind": "cell"})
            if run.status == "FINISHED"
        ]
    )
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    return [*before, {"at": stamp, **now, "finished": finished, "by_rule": by_rule}]


def refuse_another(home: Home, name: str, planned: list[Cell]) -> None:
    """Checks that no arm has other settings than those its name was declared with, once runs of it are finished.

    Raises:
        ColourbenchError: one has.
    """
    before = _before(home, name)
    changed = [
        arm
        for arm, settings in _arms(planned).items()
        if before and before[-1]["arms"].get(arm, settings) != settings
    ]
    finished = [run for run in home.store.find(name, {"kind": "cell"}) if run.status == "FINISHED"]
    lost = [run for run in finished if run.tags.get("arm") in changed]
    if lost:
        raise ColourbenchError(
            f"the study {name} has {len(lost)} finished runs of {', '.join(changed)} with other settings, and its report and "
            "ratings are about them: give this file another `name:`, or those arms other names; --replace drops them from the "
            "report, which will say so"
        )


def _before(home: Home, name: str) -> list[dict[str, Any]]:
    """The longest history that any run of the study's name holds: other rules make another run, which goes on with its history."""
    parents = home.store.find(name, {"kind": "comparison"})
    files = [parent.folder / STUDY for parent in parents if (parent.folder / STUDY).is_file()]
    histories = [integrity.read_json(path, "compare again").get(DECLARATIONS, []) for path in files]
    return max(histories, key=len, default=[])


def _arms(planned: list[Cell]) -> dict[str, str]:
    """A hash of each arm's settings but the seed, and but what the rules hold."""
    not_its_own = {"seed": None, "dataset": None, "budget": None}
    return {cell.arm: sha256(cell.config.by_content() | not_its_own)[:16] for cell in planned}


def _seeds(planned: list[Cell]) -> dict[str, list[int]]:
    seeds: dict[str, list[int]] = {}
    for cell in planned:
        seeds.setdefault(cell.arm, []).append(cell.seed)
    return seeds

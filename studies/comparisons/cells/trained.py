"""Trains the runs of a study: one after another in this process, or in several worker processes, each with a run of its own."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.config import as_json, parse
from common.errors import Busy, ColourbenchError, Interrupted, first_line
from common.system.atomic import PRIVATE, write_atomically
from common.system.processes import Team, launcher_watch, one_share
from common.system.signals import interrupt_on_signal
from common.tracking import Run
from studies.comparisons.cells import untrained
from studies.comparisons.cells.arms import Cell, cells
from studies.comparisons.cells.duration import time_left
from studies.comparisons.cells.untrained import Comparison
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.finish import score_later
from studies.runs.train import Place, RunOptions, train_run
from studies.sweeps.outcome import tuned

POLL_SECONDS = 5.0
ENDED = ("FINISHED", "FAILED")

Say = Callable[[str], None]


@dataclass(frozen=True)
class CellOptions:
    """How runs are trained."""

    attempt: str
    """Names one call of `compare`; a run that failed in it is not tried again by another process of the same call."""
    retrain: bool = False
    """Whether finished runs whose files are missing or damaged are trained again, instead of reported as errors."""
    pilot: int | None = None
    """How many seeds of each arm are run, its first ones; None runs all."""
    storage: str = ""
    """URL of the store of sweeps, for arms with `best_of`; empty: the home's own."""


def planned_cells(home: Home, study: Study, storage: str) -> list[Cell]:
    """Every run of a study, with the settings that sweeps found best where arms ask for them."""
    return cells(study, lambda name: tuned(home, name, storage))


def chosen_cells(study: Study, planned: Sequence[Cell], pilot: int | None) -> list[Cell]:
    """The runs that belong to the pilot, or all of them."""
    return [
        cell for cell in planned if pilot is None or cell.seed in study.seeds_of(cell.arm)[:pilot]
    ]


def train_in_turn(
    comparison: Comparison, chosen: Sequence[Cell], options: CellOptions, say: Say
) -> list[ColourbenchError]:
    """Trains runs one after another and returns the errors of those that failed; waits for runs that other processes train."""
    failures: list[ColourbenchError] = []
    finished: list[Run] = []
    left = list(enumerate(chosen, 1))
    while left:
        busy = []
        for position, (number, cell) in enumerate(left):
            rest = time_left(finished, [other.arm for _, other in left[position:]])
            say(f"run {number} of {len(chosen)}: {cell.name}{', ' + rest if rest else ''}")
            try:
                finished.append(_train(comparison, cell, options))
            except Busy:
                say("  another process is running it")
                busy.append((number, cell))
            except ColourbenchError as error:
                failures.append(ColourbenchError(f"{cell.name}: {error}"))
            except Exception as error:  # a fault of this program in one run must not end the others
                traceback.print_exc()
                failures.append(
                    ColourbenchError(
                        f"{cell.name}: a fault of colourbench itself: {first_line(error)}"
                    )
                )
        if busy and len(busy) == len(left):
            say(f"other processes are running the last {len(busy)}; waiting for them")
            time.sleep(POLL_SECONDS)
        left = busy
    return failures


def train_as_team(
    comparison: Comparison, chosen: Sequence[Cell], options: CellOptions, workers: int, say: Say
) -> list[ColourbenchError]:
    """Trains runs in `workers` processes and returns the errors of those that failed."""
    home = comparison.home
    study = comparison.study
    order = home.lock(study.name).with_suffix(".compare.json")
    order.parent.mkdir(exist_ok=True)
    about = {"study": as_json(study), "parent": comparison.parent.id, "options": options.__dict__}
    # the store's address may hold a password
    write_atomically(order, json.dumps(about).encode(), mode=PRIVATE)
    ended = _Ended(comparison, chosen, workers, say)

    def command(number: int) -> list[str]:
        return [
            sys.executable,
            "-m",
            "studies.comparisons.cells.trained",
            str(home.path),
            str(order),
        ]

    logs = home.logs / study.name
    Team(workers, command, logs, lambda number: one_share(number, workers), say).work(ended.tell)
    ended.tell(at_once=True)
    # what ended is only looked up
    return train_in_turn(comparison, chosen, options, say=lambda text: None)


def _train(comparison: Comparison, cell: Cell, options: CellOptions) -> Run:
    place = Place(
        comparison.study.name, cell.name, {"kind": "cell", "arm": cell.arm}, comparison.parent
    )
    run_options = RunOptions(retrain=options.retrain, attempt=options.attempt)
    run = train_run(comparison.home.store, comparison.dataset, cell.config, place, run_options)
    score_later(run, cell.config, comparison.dataset)
    if cell.config.variant.generator.labels:
        untrained.score_without_labels(comparison, cell, run)
    return run


class _Ended:
    """Reports runs that ended since the last report."""

    def __init__(
        self, comparison: Comparison, chosen: Sequence[Cell], workers: int, say: Say
    ) -> None:
        self._comparison = comparison
        self._workers = workers
        self._left = {
            cell.name: cell.config.identity(comparison.dataset.fingerprint) for cell in chosen
        }
        self._arms = {cell.name: cell.arm for cell in chosen}
        self._finished: list[Run] = []
        self._count = len(chosen)
        self._say = say
        self._next_look = 0.0
        self._is_first = True

    def tell(self, at_once: bool = False) -> bool:
        """Reports new ones, every few seconds or at once; returns whether there are any."""
        if time.monotonic() < self._next_look and not at_once:
            return False
        self._next_look = time.monotonic() + POLL_SECONDS
        store = self._comparison.home.store
        study = self._comparison.study.name
        runs = [store.find_one(study, name, identity) for name, identity in self._left.items()]
        new = [run for run in runs if run and run.status in ENDED]
        for run in new:
            del self._left[run.name]
            if not self._is_first or run.status == "FINISHED":
                self._finished += [run] if run.status == "FINISHED" else []
                self._say(f"{self._progress()}: {run.name} {run.status.lower()}")
        self._is_first = False
        return bool(new)

    def _progress(self) -> str:
        arms = [self._arms[name] for name in self._left]
        rest = time_left(self._finished, arms, self._workers)
        done = f"{self._count - len(self._left)} of {self._count}"
        return f"{done}, {rest}" if rest else done


def _run_worker(path: str, order: str) -> None:
    """Trains runs that no other process is training, in a worker's process."""
    interrupt_on_signal()
    is_alone = launcher_watch()
    home = Home(Path(path))
    about = json.loads(Path(order).read_bytes())
    study = parse(Study, about["study"], order)
    options = CellOptions(**about["options"])
    comparison = Comparison(
        home, study, home.dataset(study.dataset), home.store.run(about["parent"])
    )
    for cell in chosen_cells(study, planned_cells(home, study, options.storage), options.pilot):
        if is_alone():
            return
        try:
            _train(comparison, cell, options)
        except Busy:
            continue  # another worker trains it
        except Interrupted as error:
            print(error, flush=True)
            sys.exit(130)
        except ColourbenchError as error:
            print(f"{cell.name}: {error}", flush=True)
        except Exception:  # as above: the launcher reports it
            traceback.print_exc()


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    _run_worker(*sys.argv[1:])

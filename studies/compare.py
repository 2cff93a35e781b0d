"""Runs a study: every arm x seed under one budget, and the baselines; finished cells are not run again."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from analysis import evaluation
from analysis.results import COMPARED, DECLARED, SCORED, STUDY, WITHOUT
from common import kept
from common.config import as_json, sha256
from common.domain import domain_of
from common.errors import Busy, ColourbenchError
from common.files import locked, write_atomically
from common.shards import Dataset
from common.tracking import Run
from studies.home import Home
from studies.run import Place, train_run
from studies.scoring import write_test
from studies.study import Cell, Study, cells
from studies.sweeps import sweep
from studies.trained import load_run
from variants import registry

POLL_SECONDS = 5.0

Say = Callable[[str], None]


def compare(home: Home, study: Study, say: Say = print, retrain: bool = False, pilot: int | None = None) -> list[ColourbenchError]:
    """Runs what is missing of the study and returns the errors of the runs that failed; the others go on.

    Args:
        retrain: whether finished runs whose files are gone or damaged are trained again, instead of being told.
        pilot: runs only so many seeds of each arm, its first ones; the study stays as it was declared.

    Raises:
        Interrupted: a signal came; the same command goes on.
        ColourbenchError: the study or its data set is wrong.
    """
    dataset = home.dataset(study.dataset)
    planned = cells(study, lambda name: sweep.best_fields(home, name))
    domain = domain_of(dataset)
    for cell in planned:  # a mistake in the last arm is told before the first one is trained
        try:
            registry.check(cell.config.variant, domain)
        except ColourbenchError as error:
            raise ColourbenchError(f"study {study.name}, arm {cell.arm}: {error}") from None
    parent = _open_parent(home, study, dataset, planned, say)
    try:
        chosen = [cell for cell in planned if pilot is None or cell.seed in study.seeds_of(cell.arm)[:pilot]]
        failures = _run_all(home, study, dataset, chosen, parent, say, retrain)
    except BaseException:
        parent.abandon("KILLED")
        raise
    parent.note(_note(study))
    parent.finish("FAILED" if failures else "FINISHED")
    return failures


def _run_all(
    home: Home, study: Study, dataset: Dataset, planned: list[Cell], parent: Run, say: Say, retrain: bool
) -> list[ColourbenchError]:
    for baseline in study.baselines:
        _run_baseline(home, study, baseline, dataset, parent)
    failures: list[ColourbenchError] = []
    left = list(enumerate(planned, 1))
    while left:
        busy = []
        for number, cell in left:
            say(f"run {number} of {len(planned)}: {cell.name}")
            try:
                _run_cell(home, study, cell, dataset, parent, retrain)
            except Busy:
                say("  another process is at it")
                busy.append((number, cell))
            except ColourbenchError as error:
                failures.append(ColourbenchError(f"{cell.name}: {error}"))
        if busy and len(busy) == len(left):
            say(f"others are at the last {len(busy)} runs; waiting for them")
            time.sleep(POLL_SECONDS)
        left = busy
    return failures


def _run_cell(home: Home, study: Study, cell: Cell, dataset: Dataset, parent: Run, retrain: bool) -> None:
    run = train_run(home.store, dataset, cell.config, _place(study, cell, parent), retrain=retrain)
    if cell.config.variant.generator.labels:
        _score_without_labels(home, study, cell, run, dataset, parent)


def _open_parent(home: Home, study: Study, dataset: Dataset, planned: list[Cell], say: Say) -> Run:
    """The study's own run: the same for every change of seeds or arms, so that a study can grow.

    Its study.json names the settings' hash of every planned run, so that a report takes these and no older ones.
    """
    tags = {
        "kind": "comparison",
        "dataset": study.dataset,
        "config_sha256": sha256([study.name, study.dataset, as_json(study.budget), study.primary, study.margin]),
    }
    declared = {"budget": study.budget.amount, "unit": study.budget.unit, "primary": study.primary, "margin": study.margin}
    before = home.store.find(study.name, {"kind": "comparison"})
    parent = home.store.open_run(study.name, "comparison", tags, declared)
    if DECLARED not in parent.tags:
        parent.tag(**{DECLARED: datetime.now(UTC).isoformat(timespec="seconds"), "declaration_sha256": sha256(declared)})
        if before:
            say(
                f"data set, budget, primary metric or margin differ from those declared on {before[-1].tags.get(DECLARED, '?')}: "
                "this is a new study, declared now"
            )
    identities = {cell.name: cell.config.identity(dataset.fingerprint) for cell in planned}
    identities |= {
        _without_label(cell.name): _unlabelled_identity(cell, dataset) for cell in planned if cell.config.variant.generator.labels
    }
    identities |= {name: _baseline_identity(name, dataset, parent) for name in study.baselines}
    known = {"cells": identities, DECLARED: parent.tags[DECLARED]}
    write_atomically(parent.folder / STUDY, json.dumps(as_json(study) | known, indent=2).encode())
    parent.tag(**{COMPARED: datetime.now(UTC).isoformat()})
    return parent


def _place(study: Study, cell: Cell, parent: Run) -> Place:
    return Place(study.name, cell.name, {"kind": "cell", "arm": cell.arm}, parent)


def _baseline_identity(name: str, dataset: Dataset, parent: Run) -> str:
    return sha256([name, dataset.fingerprint, parent.id])


def _run_baseline(home: Home, study: Study, name: str, dataset: Dataset, parent: Run) -> None:
    """A baseline needs no training, and one seed stands for all."""
    tags = {
        "kind": "cell",
        "arm": name,
        "seed": "0",
        "baseline": "yes",
        "variant": name,
        "dataset": study.dataset,
        "dataset_sha256": dataset.fingerprint,
        "config_sha256": _baseline_identity(name, dataset, parent),
    }
    run = home.store.open_run(study.name, name, tags, {"baseline": name}, parent)
    with locked(run.folder / ".lock"):
        if _is_scored(home, run):
            return
        colourise = evaluation.grey if name == "grey" else evaluation.constant(evaluation.mean_ab(dataset.split("train")))
        write_test(run, colourise, dataset, "cpu", 0)
        kept.seal(run.folder, SCORED)
        run.finish()


def _score_without_labels(home: Home, study: Study, cell: Cell, trained: Run, dataset: Dataset, parent: Run) -> None:
    """A run that was trained with labels is scored a second time as an arm of its own, its labels withheld."""
    tags = {
        "kind": "cell",
        "arm": f"{cell.arm} {WITHOUT}",
        "seed": str(cell.seed),
        "view_of": trained.id,
        "variant": cell.config.variant.name,
        "dataset": study.dataset,
        "dataset_sha256": dataset.fingerprint,
        "config_sha256": _unlabelled_identity(cell, dataset),
    }
    run = home.store.open_run(study.name, _without_label(cell.name), tags, {"labels": "withheld"}, parent)
    with locked(run.folder / ".lock"):
        if _is_scored(home, run):
            return
        colouriser, _ = load_run(trained, cell.config.engine.device)
        write_test(run, colouriser, dataset, colouriser.engine.device, 0)
        kept.seal(run.folder, SCORED)
        run.finish()


def _is_scored(home: Home, run: Run) -> bool:
    """Whether a run that trains nothing is finished and whole; scoring it again is cheap."""
    if home.store.run(run.id).status != "FINISHED":
        return False
    try:
        kept.check_sealed(run.folder, SCORED, "")
    except kept.Damaged:
        return False
    return True


def _without_label(name: str) -> str:
    return f"{name} {WITHOUT}"


def _unlabelled_identity(cell: Cell, dataset: Dataset) -> str:
    return sha256([cell.config.identity(dataset.fingerprint), WITHOUT])


def _note(study: Study) -> str:
    parts = [f"**{study.question}**" if study.question else "", f"Source: {study.source}" if study.source else ""]
    parts.append(
        f"Arms: {', '.join(study.arms)}. Seeds: {', '.join(map(str, study.seeds))}. Report: `colourbench report {study.name}`."
    )
    return "\n\n".join(part for part in parts if part)

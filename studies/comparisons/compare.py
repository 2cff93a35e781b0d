"""Runs a study: every arm x seed under one budget, and the arms that are only scored; finished cells are not run again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.config import as_json, sha256
from common.data.domain import domain_of
from common.errors import Busy, ColourbenchError
from common.files.atomic import write_atomically
from common.files.names import FAMILY, STUDY
from common.tracking import Run
from common.tracking.names import COMPARED, DECLARED
from studies.comparisons import until, untrained
from studies.comparisons.arms import Cell, cells
from studies.comparisons.outside import Outside
from studies.comparisons.study import Study
from studies.comparisons.until import Until
from studies.comparisons.untrained import Comparison
from studies.home import Home
from studies.runs.life import Place, RunOptions, train_run
from studies.sweeps.outcome import best_fields

POLL_SECONDS = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class CompareOptions:
    """How a study is run: the options that are not part of its definition."""

    retrain: bool = False
    """Whether finished runs whose files are missing or damaged are trained again, instead of reported as errors."""
    pilot: int | None = None
    """Runs only this many seeds of each arm, its first ones; the study stays as it was declared."""
    until: Until | None = None
    """Adds seeds, equally to all arms, until the intervals are this narrow."""


def compare(home: Home, study: Study, say: Say = print, options: CompareOptions | None = None) -> list[ColourbenchError]:
    """Runs the unfinished cells of a study and returns the errors of runs that failed; a failure does not stop the other runs.

    Raises:
        Interrupted: a signal arrived; the same command resumes the study.
        ColourbenchError: the study or its data set is invalid.
    """
    options = options or CompareOptions()
    failures: list[ColourbenchError] = []
    for part in study.parts:
        if len(study.parts) > 1:
            say(f"data set {part.dataset}:")
        failures += _compare_on_one(home, part, say, options)
    if len(study.parts) > 1:
        _open_family(home, study)
    return failures


def _compare_on_one(home: Home, study: Study, say: Say, options: CompareOptions) -> list[ColourbenchError]:
    record = until.recorded(home, study)
    added = 0 if options.pilot else until.added(record, say)
    while True:
        rule = options.until.record(added) if options.until else record
        grown = study.with_more_seeds(added)
        failures = _run_once(home, grown, say, options, rule)
        if not options.until or failures or until.is_over(home, grown, options.until, say):
            return failures
        added += 1


def _run_once(home: Home, study: Study, say: Say, options: CompareOptions, rule: dict[str, Any] | None) -> list[ColourbenchError]:
    dataset = home.dataset(study.dataset)
    planned = cells(study, lambda name: best_fields(home, name))
    domain = domain_of(dataset)
    for cell in planned:  # a mistake in the last arm is reported before the first one is trained
        try:
            cell.config.variant.check(domain)
        except ColourbenchError as error:
            raise ColourbenchError(f"study {study.name}, arm {cell.arm}: {error}") from None
    outside = untrained.read_outside(study, dataset)  # a folder that lacks a result is reported before any run starts
    comparison = Comparison(home, study, dataset, _open_parent(home, study, say))
    _record(comparison, planned, outside, rule)
    try:
        for name, folder_results in outside.items():
            for remark in untrained.score_outside(comparison, name, folder_results):
                say(f"{name}: {remark}")
        chosen = [cell for cell in planned if options.pilot is None or cell.seed in study.seeds_of(cell.arm)[: options.pilot]]
        failures = _run_all(comparison, chosen, say, options)
    except BaseException:  # whatever ended it, the study must not stay RUNNING
        comparison.parent.abandon("KILLED")
        raise
    comparison.parent.note(_note(study))
    comparison.parent.finish("FAILED" if failures else "FINISHED")
    return failures


def _run_all(comparison: Comparison, planned: list[Cell], say: Say, options: CompareOptions) -> list[ColourbenchError]:
    for name in comparison.study.baselines:
        untrained.run_baseline(comparison, name)
    failures: list[ColourbenchError] = []
    left = list(enumerate(planned, 1))
    while left:
        busy = []
        for number, cell in left:
            say(f"run {number} of {len(planned)}: {cell.name}")
            try:
                _run_cell(comparison, cell, options)
            except Busy:
                say("  another process is running it")
                busy.append((number, cell))
            except ColourbenchError as error:
                failures.append(ColourbenchError(f"{cell.name}: {error}"))
        if busy and len(busy) == len(left):
            say(f"other processes are running the last {len(busy)}; waiting for them")
            time.sleep(POLL_SECONDS)
        left = busy
    return failures


def _run_cell(comparison: Comparison, cell: Cell, options: CompareOptions) -> None:
    place = Place(comparison.study.name, cell.name, {"kind": "cell", "arm": cell.arm}, comparison.parent)
    run = train_run(comparison.home.store, comparison.dataset, cell.config, place, RunOptions(retrain=options.retrain))
    if cell.config.variant.generator.labels:
        untrained.score_without_labels(comparison, cell, run)


def _open_parent(home: Home, study: Study, say: Say) -> Run:
    """Opens the study's own run, and records its declaration the first time."""
    tags = {"kind": "comparison", "dataset": study.dataset, "config_sha256": study.identity}
    before = home.store.find(study.name, {"kind": "comparison"})
    parent = home.store.open_run(study.name, "comparison", tags, study.declaration)
    if DECLARED not in parent.tags:
        parent.tag(**{DECLARED: datetime.now(UTC).isoformat(timespec="seconds"), "declaration_sha256": sha256(study.declaration)})
        if before:
            say(
                f"data set, budget, primary metric or margin differ from those declared on {before[-1].tags.get(DECLARED, '?')}: "
                "this is a new study, declared now"
            )
    return parent


def _record(comparison: Comparison, planned: list[Cell], outside: dict[str, Outside], rule: dict[str, Any] | None) -> None:
    """Writes study.json with the settings hash of every planned run, so that a report uses these runs and no older ones."""
    identities = {cell.name: cell.config.identity(comparison.dataset.fingerprint) for cell in planned}
    identities |= untrained.identities(comparison, planned, outside)
    known = {"cells": identities, DECLARED: comparison.parent.tags[DECLARED], until.RECORD: rule}
    write_atomically(comparison.parent.folder / STUDY, json.dumps(as_json(comparison.study) | known, indent=2).encode())
    comparison.parent.tag(**{COMPARED: datetime.now(UTC).isoformat()})


def _open_family(home: Home, study: Study) -> None:
    """Records the names of the studies on single data sets, for a report over all of them."""
    tags = {"kind": "family", "config_sha256": sha256([study.name, "family"])}
    run = home.store.open_run(study.name, "family", tags, {})
    record = {"parts": [part.name for part in study.parts], "question": study.question, "primary": study.primary}
    write_atomically(run.folder / FAMILY, json.dumps(record, indent=2).encode())
    run.note(f"**{study.question}**\n\nOn {len(study.parts)} data sets, each a study: {', '.join(record['parts'])}.")
    run.finish()


def _note(study: Study) -> str:
    parts = [f"**{study.question}**" if study.question else "", f"Source: {study.source}" if study.source else ""]
    parts.append(
        f"Arms: {', '.join(study.arms)}. Seeds: {', '.join(map(str, study.seeds))}. Report: `colourbench report {study.name}`."
    )
    return "\n\n".join(part for part in parts if part)

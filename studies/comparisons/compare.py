"""Runs a study: every arm x seed under one budget, and the arms that are only scored; finished cells are not run again."""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from analysis.metrics.weights import ALEXNET
from common.colour.metrics import METRICS
from common.config import as_json, sha256
from common.data.domain import domain_of
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.system.atomic import write_atomically
from common.system.names import FAMILY, STUDY
from common.tracking import Run
from common.tracking.names import COMPARED, DECLARATIONS, DECLARED, TUNING
from studies.comparisons import declarations, until
from studies.comparisons.cells import untrained
from studies.comparisons.cells.arms import Cell, check_tuned, tuned_arms
from studies.comparisons.cells.outside import Outside
from studies.comparisons.cells.trained import (
    CellOptions,
    chosen_cells,
    planned_cells,
    train_as_team,
    train_in_turn,
)
from studies.comparisons.cells.untrained import Comparison
from studies.comparisons.study import Study
from studies.comparisons.until import Until
from studies.home import Home
from studies.sweeps.outcome import Tuned, tuned

Say = Callable[[str], None]


def _this_attempt() -> str:
    """The job array that this process is an element of, or a name of its own."""
    for variable in ("SLURM_ARRAY_JOB_ID", "LSB_JOBID"):
        if job := os.environ.get(variable):
            return f"{variable} {job}"
    return uuid.uuid4().hex


@dataclass(frozen=True)
class CompareOptions:
    """How a study is run: the options that are not part of its definition."""

    retrain: bool = False
    """Whether finished runs whose files are missing or damaged are trained again, instead of reported as errors."""
    replace: bool = False
    """Whether arms may have other settings than the finished runs of their names."""
    pilot: int | None = None
    """Runs only this many seeds of each arm, its first ones; the study stays as it was declared."""
    until: Until | None = None
    """Adds seeds, equally to all arms, until the intervals are this narrow."""
    workers: int = 1
    """Processes on this machine that train runs at the same time, each with its share of the cores."""
    storage: str = ""
    """URL of the store of sweeps, for arms with `best_of`; empty: the home's own."""
    attempt: str = field(default_factory=_this_attempt)
    """Names one call of `compare`: what failed in it is not tried again by another process that belongs to the same call."""


def compare(
    home: Home, study: Study, say: Say = print, options: CompareOptions | None = None
) -> list[ColourbenchError]:
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


def _compare_on_one(
    home: Home, study: Study, say: Say, options: CompareOptions
) -> list[ColourbenchError]:
    record = until.recorded(home, study)
    added = 0 if options.pilot else until.added(record, say)
    while True:
        rule = options.until.record(added) if options.until else record
        grown = study.with_more_seeds(added)
        failures = _run_once(home, grown, say, options, rule)
        if not options.until or failures or until.is_over(home, grown, options.until, say):
            return failures
        added += 1


def _check_measurable(study: Study) -> None:
    """Checks that the primary metric can be computed here.

    Raises:
        ColourbenchError: its network's weights are missing, so that no run would ever have a value.
    """
    if METRICS[study.primary].needs_weights and not ALEXNET.is_here():
        raise ColourbenchError(
            f"primary={study.primary} needs {ALEXNET.name}, which is missing; `colourbench data weights` says how to get it"
        )


def _run_once(
    home: Home, study: Study, say: Say, options: CompareOptions, rule: dict[str, Any] | None
) -> list[ColourbenchError]:
    _check_measurable(study)
    dataset = home.dataset(study.dataset)
    planned = planned_cells(home, study, options.storage)
    found = tuned_arms(study, lambda name: tuned(home, name, options.storage))
    check_tuned(study, planned, found, dataset.fingerprint)
    _check_arms(study, planned, dataset)
    if not options.replace:
        declarations.refuse_another(home, study.name, planned)
    # a folder that lacks a result is reported before any run starts
    outside = untrained.read_outside(study, dataset)
    comparison = Comparison(home, study, dataset, _open_parent(home, study, say))
    try:
        _record(comparison, planned, outside, rule, found)
        for name, folder_results in outside.items():
            for remark in untrained.score_outside(comparison, name, folder_results):
                say(f"{name}: {remark}")
        failures = _run_all(comparison, planned, say, options)
    except BaseException:  # whatever ended it, the study must not stay RUNNING
        comparison.parent.abandon("KILLED")
        raise
    comparison.parent.note(_note(study))
    comparison.parent.finish("FAILED" if failures else "FINISHED")
    return failures


def _check_arms(study: Study, planned: list[Cell], dataset: Dataset) -> None:
    """Reports a mistake in the last arm before the first one is trained."""
    for cell in planned:
        try:
            cell.config.variant.check(domain_of(dataset, cell.config.batches))
        except ColourbenchError as error:
            raise ColourbenchError(f"study {study.name}, arm {cell.arm}: {error}") from None


def _run_all(
    comparison: Comparison, planned: list[Cell], say: Say, options: CompareOptions
) -> list[ColourbenchError]:
    for name in comparison.study.baselines:
        untrained.run_baseline(comparison, name)
    chosen = chosen_cells(comparison.study, planned, options.pilot)
    how = CellOptions(options.attempt, options.retrain, options.pilot, options.storage)
    if options.workers > 1:
        return train_as_team(comparison, chosen, how, options.workers, say)
    return train_in_turn(comparison, chosen, how, say)


def _open_parent(home: Home, study: Study, say: Say) -> Run:
    """Opens the study's own run, and records its declaration the first time."""
    tags = {"kind": "comparison", "dataset": study.dataset, "config_sha256": study.identity}
    before = home.store.find(study.name, {"kind": "comparison"})
    parent = home.store.open_run(study.name, "comparison", tags, study.declaration)
    if DECLARED not in parent.tags:
        parent.tag(
            **{
                DECLARED: datetime.now(UTC).isoformat(timespec="seconds"),
                "declaration_sha256": sha256(study.declaration),
            }
        )
        if before:
            say(
                f"data set, budget, primary metric or margin differ from those declared on {before[-1].tags.get(DECLARED, '?')}: "
                "this is a new study, declared now"
            )
    return parent


def _record(
    comparison: Comparison,
    planned: list[Cell],
    outside: dict[str, Outside],
    rule: dict[str, Any] | None,
    found: dict[str, Tuned],
) -> None:
    """Writes study.json with the settings hash of every planned run, so that a report uses these runs and no older ones."""
    identities = {
        cell.name: cell.config.identity(comparison.dataset.fingerprint) for cell in planned
    }
    identities |= untrained.identities(comparison, planned, outside)
    known = {
        "cells": identities,
        DECLARED: comparison.parent.tags[DECLARED],
        until.RECORD: rule,
        TUNING: {arm: sweep.record() for arm, sweep in found.items()},
        DECLARATIONS: declarations.record(comparison, planned, by_rule=rule is not None),
    }
    write_atomically(
        comparison.parent.folder / STUDY,
        json.dumps(as_json(comparison.study) | known, indent=2).encode(),
    )
    comparison.parent.tag(**{COMPARED: datetime.now(UTC).isoformat()})


def _open_family(home: Home, study: Study) -> None:
    """Records the names of the studies on single data sets, for a report over all of them."""
    tags = {"kind": "family", "config_sha256": sha256([study.name, "family"])}
    run = home.store.open_run(study.name, "family", tags, {})
    record = {
        "parts": [part.name for part in study.parts],
        "question": study.question,
        "primary": study.primary,
    }
    write_atomically(run.folder / FAMILY, json.dumps(record, indent=2).encode())
    run.note(
        f"**{study.question}**\n\nOn {len(study.parts)} data sets, each a study: {', '.join(record['parts'])}."
    )
    run.finish()


def _note(study: Study) -> str:
    parts = [
        f"**{study.question}**" if study.question else "",
        f"Source: {study.source}" if study.source else "",
    ]
    parts.append(
        f"Arms: {', '.join(study.arms)}. Seeds: {', '.join(map(str, study.seeds))}. Report: `colourbench report {study.name}`."
    )
    return "\n\n".join(part for part in parts if part)

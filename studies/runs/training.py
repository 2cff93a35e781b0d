"""How a session trains: the logging, checkpoints and validations around its steps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis.evaluation import splits
from common.data.overview import preview
from common.data.shards import Split
from common.loop import training
from common.loop.callbacks import ProgressBar, every
from common.loop.randomness import random_state, restore_random_state
from common.loop.stopping import StopOnSignal
from common.loop.training import Callback, Losses, Phase, Progress
from common.tracking.names import PRETRAINING, VALIDATION
from studies.runs import machine, pretraining
from studies.runs.session import Session

# number of the validation, its metrics; may raise to stop the run
Report = Callable[[int, dict[str, float]], None]


class Pruned(Exception):
    """A run was ended because others were better at the same point."""


def train(session: Session, report: Report | None = None) -> None:
    """Trains to the end of the budget, from the newest checkpoint where there is one.

    Raises:
        Interrupted: a signal arrived; a checkpoint is saved.
        DivergedError: a loss is NaN or infinite.
    """
    _Training(session, report).run()


class _Training:
    def __init__(self, session: Session, report: Report | None) -> None:
        self.session = session
        self.report = report
        self.budget = session.config.budget
        self.interval = self.budget.amount / session.config.watch.validations
        self.bar = ProgressBar(session.run.name, self.budget, session.progress)

    def run(self) -> None:
        """Resumes the run, loads shared pretraining, and runs the phases."""
        session = self.session
        session.resume()
        phases = session.schedule.phases(self.budget)
        shared = self._take_over_pretraining()
        with self.bar, StopOnSignal(session.saver.save, session.engine.any) as stop:
            for line in self._beginning():
                self.bar.say(line)
            watchers = self._watchers(stop)
            if shared and session.progress.phase == 0:
                self._train(phases[:1], watchers)
                session.losses.settle(session.progress)
                if session.engine.rank == 0:
                    pretraining.save(shared, self._pretrained_state())
            self._train(phases, watchers)
        session.losses.settle(session.progress)
        if session.config.watch.keep == "all":
            session.saver.save(session.progress)

    def _watchers(self, stop: StopOnSignal) -> list[Callback]:
        """What is called after each step, in this order."""
        session = self.session
        unit = self.budget.unit
        validate = every(self.interval, unit, session.progress, self._validate_and_report)
        return [self._advance, session.losses, validate, session.saver, stop, self.bar]

    def _train(self, phases: Sequence[Phase], watchers: Sequence[Callback]) -> None:
        session = self.session
        training.train(
            phases,
            session.batches,
            self.budget.unit,
            session.progress,
            session.engine,
            watchers,
            self._validate_before_phase,
        )

    def _advance(self, progress: Progress, losses: Losses) -> None:
        """Updates learning rates and averaged weights to the share of the budget that is used."""
        self.session.schedule.advance(progress.count(self.budget.unit) / self.budget.amount)

    def _validate_and_report(self, progress: Progress) -> None:
        """Validates; shows and logs the metrics, and passes them to the schedule and to the sweep."""
        session = self.session
        session.losses.settle(progress)
        metrics = self._validate(progress)
        self.bar.show(progress, metrics)
        observed = session.schedule.observe(progress.images, metrics)
        session.run.log(observed, progress.images)
        if self.report:
            number = round(progress.count(self.budget.unit) / self.interval)
            self.report(number, metrics)

    def _validate_before_phase(self, progress: Progress) -> None:
        metrics = self._validate(progress)
        self.session.schedule.observe(progress.images, metrics, opening=True)

    def _validate(self, progress: Progress) -> dict[str, float]:
        """Scores the validation split and draws the preview, on one rank."""
        engine = self.session.engine
        return engine.broadcast(_score(self.session, progress) if engine.rank == 0 else {})

    def _beginning(self) -> list[str]:
        """Returns lines that say where the run computes, where it resumes, and what has changed since it started."""
        session = self.session
        tags = session.run.tags
        where = f"on {session.engine.device} in {session.engine.precision}"
        if PRETRAINING in tags and session.progress.phase == 1:
            where += f", generator pretraining {tags[PRETRAINING]}"
        elif session.progress.images:
            where += f", going on from image {session.progress.images:,}"
        changes = machine.what_changed(session.engine, tags)
        return [where, changes] if changes else [where]

    def _take_over_pretraining(self) -> Path | None:
        """Returns the file of this run's shared pretraining; a run at its very start loads what another run saved there."""
        session = self.session
        shared = pretraining.file_for(session.run.home, session.config, session.dataset.fingerprint)
        is_there = session.engine.broadcast(shared is not None and shared.is_file())
        state = pretraining.load(shared) if is_there and not session.progress.images else None
        if state is not None:
            session.variant.load_generator_state(state["generators"])
            session.load_stream_state(state)
            # the critic's learning rate follows the budget too
            self._advance(session.progress, {})
            session.run.tag(**{PRETRAINING: f"taken over from run {state['run'][:8]}"})
        return shared

    def _pretrained_state(self) -> dict[str, Any]:
        session = self.session
        return {
            "generators": session.variant.generator_state(),
            "metrics": session.run.logged(),
            "run": session.run.id,
            **session.stream_state(),
        }


def _score(session: Session, progress: Progress) -> dict[str, float]:
    """Scores the validation split and draws the preview; random draws in here do not affect training."""
    state = random_state()
    validation = session.dataset.split("validation")
    colouriser = session.variant.colourise
    calibration = colouriser.prepare()
    metrics = splits.score(
        colouriser,
        validation,
        session.config.watch.validation_images,
        session.engine.device,
        session.config.variant.generator.labels,
    )
    named = {f"{VALIDATION}{name}": value for name, value in metrics.items()}
    session.run.log(named | calibration, progress.images)
    _draw_preview(session, validation, progress.images)
    restore_random_state(state)
    return metrics


def _draw_preview(session: Session, validation: Split, images: int) -> None:
    count = session.config.watch.preview_images
    if not count:
        return
    photographs = validation.photographs(validation.spread(count)).to(session.engine.device)
    folder = session.run.folder / "previews"
    folder.mkdir(exist_ok=True)
    preview(session.variant.colourise, photographs, folder / f"{images:09d}.png")

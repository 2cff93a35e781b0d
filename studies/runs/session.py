"""The parts of one run, built from its seed, and how it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis import evaluation
from common.data.batches import Batches
from common.data.domain import domain_of
from common.data.overview import preview
from common.data.shards import Dataset
from common.errors import ColourbenchError, first_line
from common.loop import training
from common.loop.callbacks import Checkpointer, LogLosses, ProgressBar, every
from common.loop.engine import Engine
from common.loop.randomness import random_state, restore_random_state, seed_everything
from common.loop.signals import StopOnSignal
from common.loop.training import Callback, Losses, Phase, Progress
from common.tracking import Run
from common.tracking.names import TAKEN_OVER, VALIDATION
from studies.runs import model_file, pretraining, resume
from studies.runs.configuration import RunConfig
from variants.contract.variant import Variant
from variants.registry import build

Report = Callable[[int, dict[str, float]], None]  # number of the validation, its metrics; may raise to stop the run


class Pruned(Exception):
    """A run was ended because others were better at the same point."""


@dataclass(frozen=True)
class Session:
    """A run, its settings and its parts."""

    config: RunConfig
    run: Run
    dataset: Dataset
    engine: Engine
    variant: Variant
    batches: Batches
    progress: Progress


def compose(config: RunConfig, dataset: Dataset, engine: Engine) -> tuple[Engine, Variant, Batches, Progress]:
    """Builds the parts of a run at its start."""
    seed_everything(config.seed)
    domain = domain_of(dataset, config.batches, config.seed)
    variant = build(config.variant, engine, domain)
    if config.start_from:
        _start_from(Path(config.start_from), variant)
    batches = Batches(dataset.split("train"), config.batches, config.seed, engine.device, engine.rank, engine.ranks)
    return engine, variant, batches, Progress()


def _start_from(path: Path, variant: Variant) -> None:
    file = model_file.read(path, "write it again with `colourbench export`")
    try:
        variant.start_from(file.generator, file.critic)
    except RuntimeError as error:  # what torch raises for weights of another shape
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:2]) or first_line(error)
        raise ColourbenchError(
            f"the weights in {path} belong to other networks than these settings describe ({reason[:160]}); "
            "use the same variant.generator, variant.critic.network and image size, or `--from` without settings of the networks"
        ) from None


def train(session: Session, report: Report | None = None) -> None:
    """Trains to the end of the budget, from the newest checkpoint where there is one.

    Raises:
        Interrupted: a signal arrived; a checkpoint is saved.
        DivergedError: a loss is NaN or infinite.
    """
    _Training(session, report).run()


class _Training:
    """A session while it trains: the logging, checkpoints and validations around its steps."""

    def __init__(self, session: Session, report: Report | None) -> None:
        self.session, self.report = session, report
        run, watch = session.run, session.config.watch
        self.budget, self.writes = session.config.budget, session.engine.rank == 0
        self.losses = LogLosses(run, watch.log_steps, self._last_good)
        self.saver = Checkpointer(run.folder, watch.checkpoint_seconds, self._state, run.flush, self.writes)
        self.bar = ProgressBar(run.name, self.budget, session.progress)

    def run(self) -> None:
        """Resumes the run, loads shared pretraining, and runs the phases."""
        session, progress = self.session, self.session.progress
        self.saver.path = resume.take_up(session, self.losses)
        self.phases, shared = session.variant.phases(self.budget), self._take_over_pretraining()
        with self.bar, StopOnSignal(self.saver.save, session.engine.any) as stop:
            for line in self._beginning():
                self.bar.say(line)
            interval = self.budget.amount / session.config.watch.validations
            look = every(interval, self.budget.unit, progress, partial(self._look, interval))
            watchers: list[Callback] = [self._advance, self.losses, look, self.saver, stop, self.bar]
            if shared and progress.phase == 0:
                self._train(self.phases[:1], watchers)
                self.losses.settle(progress)
                if self.writes:
                    pretraining.save(shared, self._pretrained_state())
            self._train(self.phases, watchers)
        self.losses.settle(progress)
        if session.config.watch.keep == "all":
            self.saver.save(progress)

    def _train(self, phases: Sequence[Phase], watchers: Sequence[Callback]) -> None:
        session = self.session
        training.train(
            phases, session.batches, self.budget.unit, session.progress, session.engine, watchers, self._look_before_phase
        )

    def _state(self) -> dict[str, Any]:
        return resume.state_of(self.session, self.losses)

    def _last_good(self) -> str:
        return self.saver.last_good()

    def _advance(self, progress: Progress, losses: Losses) -> None:
        """Updates learning rates and averaged weights to the share of the budget that is used."""
        self.session.variant.advance(progress.count(self.budget.unit) / self.budget.amount)

    def _look(self, interval: float, progress: Progress) -> None:
        """Validates; shows and logs the metrics, and passes them to the schedule and to the sweep."""
        self.losses.settle(progress)
        metrics = self._validate(progress)
        self.bar.show(progress, metrics)
        self.session.run.log(self.session.variant.observe(progress.images, metrics), progress.images)
        if self.report:
            self.report(round(progress.count(self.budget.unit) / interval), metrics)

    def _look_before_phase(self, progress: Progress) -> None:
        self.session.variant.observe(progress.images, self._validate(progress), opening=True)

    def _validate(self, progress: Progress) -> dict[str, float]:
        """Scores the validation split and draws the preview, on one rank."""
        engine = self.session.engine
        return engine.broadcast(_score(self.session, progress) if engine.rank == 0 else {})

    def _beginning(self) -> list[str]:
        """Returns lines that say where the run computes, where it resumes, and what has changed since it started."""
        session, tags = self.session, self.session.run.tags
        where = f"on {session.engine.device} in {session.engine.precision}"
        if TAKEN_OVER in tags and session.progress.phase == 1:
            where += f", generator pretraining {tags[TAKEN_OVER]}"
        elif session.progress.images:
            where += f", going on from image {session.progress.images:,}"
        changes = resume.what_changed(session.engine, tags)
        return [where, *([changes] if changes else [])]

    def _take_over_pretraining(self) -> Path | None:
        """Returns the file of this run's shared pretraining; a run at its very start loads what another run saved there."""
        session = self.session
        shared = pretraining.file_for(session.run.home, session.config, session.dataset.fingerprint)
        is_there = session.engine.broadcast(shared is not None and shared.is_file())
        state = pretraining.load(shared) if is_there and not session.progress.images else None
        if state is not None:
            session.variant.load_generator_state(state["generators"])
            resume.restore(session, state)
            self._advance(session.progress, {})  # the critic's learning rate follows the budget too
            session.run.tag(**{TAKEN_OVER: f"taken over from run {state['run'][:8]}"})
        return shared

    def _pretrained_state(self) -> dict[str, Any]:
        session = self.session
        own = {"generators": session.variant.generator_state(), "metrics": session.run.logged(), "run": session.run.id}
        return own | resume.stream_state(session)


def _score(session: Session, progress: Progress) -> dict[str, float]:
    """Scores the validation split and draws the preview; random draws in here do not affect training."""
    watch, device, validation = session.config.watch, session.engine.device, session.dataset.split("validation")
    state = random_state()
    colouriser = session.variant.colourise
    calibration = colouriser.prepare()
    metrics = evaluation.score(colouriser, validation, watch.validation_images, device, session.config.variant.generator.labels)
    session.run.log({f"{VALIDATION}{name}": value for name, value in metrics.items()} | calibration, progress.images)
    if watch.preview_images:
        photographs = validation.photographs(validation.spread(watch.preview_images)).to(device)
        previews = session.run.folder / "previews"
        previews.mkdir(exist_ok=True)
        preview(colouriser, photographs, previews / f"{progress.images:09d}.png")
    restore_random_state(state)
    return metrics

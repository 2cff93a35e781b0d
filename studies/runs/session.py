"""A run while it trains: its parts, built from its seed, and their one state."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.data.batches import Batches
from common.data.domain import domain_of
from common.data.shards import Dataset
from common.errors import ColourbenchError, first_line
from common.loop import checkpoint
from common.loop.callbacks import Checkpointer, LogLosses
from common.loop.engine import Engine
from common.loop.randomness import random_state, restore_random_state, seed_everything
from common.loop.training import Progress
from common.tracking import Run
from studies.runs.configuration import RunConfig
from studies.runs.model import read_model
from variants.contract.variant import Variant
from variants.registry import build
from variants.schedule.phases import schedule_of


class Session:
    """A run, its settings and its parts.

    Its state is all that a resumed run needs to be the same run, bit for bit: `state_dict` is a checkpoint's content.
    """

    def __init__(self, config: RunConfig, run: Run, dataset: Dataset, engine: Engine) -> None:
        """Builds the parts as they are at the start of the run.

        Raises:
            ColourbenchError: `start_from` names a model that does not fit the settings.
        """
        self.config = config
        self.run = run
        self.dataset = dataset
        self.engine = engine
        self.variant, self.batches = compose(config, dataset, engine)
        self.schedule = schedule_of(self.variant, config.schedule)
        self.progress = Progress()
        self.saver = Checkpointer(
            run.folder,
            seconds=config.watch.checkpoint_seconds,
            state=self.state_dict,
            saved=run.flush,
            writes=engine.rank == 0,
            agree=engine.any,
        )
        self.losses = LogLosses(run, config.watch.log_steps, self.saver.last_good, engine.average)

    def state_dict(self) -> dict[str, Any]:
        """Returns rank 0's state, and of every rank what differs from it. All ranks must call it."""
        ranks = self.engine.gather(self._rank_state())
        return {
            "identity": self.run.tags["config_sha256"],
            "variant": self.variant.state_dict(),
            "schedule": self.schedule.state_dict(),
            **self.stream_state(),
            "ranks": ranks,
            "metrics": self.run.pending(),
        }

    def stream_state(self) -> dict[str, Any]:
        """Returns the part of the state that every variant has: the images drawn, the progress, every random generator."""
        return {
            "batches": self.batches.state_dict(),
            "progress": asdict(self.progress),
            "random": random_state(),
        }

    def _rank_state(self) -> dict[str, Any]:
        return {
            "random": random_state(),
            "losses": self.losses.state_dict(),
            "schedule": self.schedule.rank_state(),
        }

    def resume(self) -> None:
        """Loads the newest checkpoint, if there is one.

        Raises:
            ColourbenchError: it was written with other settings, or on another number of devices.
        """
        path, state = checkpoint.latest(self.run.folder)
        # no rank writes the next checkpoint before all have read this one
        self.engine.any(False)
        if state is None:
            return
        if state["identity"] != self.run.tags["config_sha256"]:
            raise ColourbenchError(
                f"the checkpoint in {self.run.folder} was written with other settings; move it away to train with these"
            )
        _refuse_other_ranks(len(state["ranks"]), self.engine)
        self.schedule.load_state_dict(state["schedule"])
        self.variant.load_state_dict(state["variant"])
        self.load_stream_state(state)
        own = state["ranks"][self.engine.rank]
        self.schedule.load_rank_state(own["schedule"])
        self.losses.load_state_dict(own["losses"])
        restore_random_state(own["random"])
        self.saver.path = path

    def load_stream_state(self, state: dict[str, Any]) -> None:
        """Restores the part of a state that every variant has, and the metrics that it contains."""
        self.batches.load_state_dict(state["batches"])
        for name, value in state["progress"].items():
            setattr(self.progress, name, value)
        self.run.restore(state["metrics"])
        restore_random_state(state["random"])


def compose(config: RunConfig, dataset: Dataset, engine: Engine) -> tuple[Variant, Batches]:
    """Builds the variant and its batches from the run's seed."""
    seed_everything(config.seed)
    domain = domain_of(dataset, config.batches, config.seed)
    variant = build(config.variant, engine, domain)
    if config.start_from:
        _start_from(Path(config.start_from), variant)
    batches = Batches(
        dataset.split("train"),
        config.batches,
        config.seed,
        engine.device,
        engine.rank,
        engine.ranks,
    )
    return variant, batches


def _start_from(path: Path, variant: Variant) -> None:
    file = read_model(path, "write it again with `colourbench export`")
    try:
        variant.start_from(file.generator, file.critic)
    except RuntimeError as error:  # what torch raises for weights of another shape
        lines = [line.strip() for line in str(error).splitlines()[1:2]]
        reason = (lines[0] if lines else first_line(error))[:160]
        raise ColourbenchError(
            f"the weights in {path} belong to other networks than these settings describe ({reason}); "
            "use the same variant.generator, variant.critic.network and image size, or `--from` without settings of the networks"
        ) from None


def _refuse_other_ranks(before: int, engine: Engine) -> None:
    """Dropout's noise, stored fakes and batch norm's sums are each device's own, so a run keeps their number.

    Raises:
        ColourbenchError: there were others before.
    """
    if before == engine.ranks:
        return
    how = "without torchrun"
    if before > 1:
        how = f"with torchrun --standalone --nproc-per-node={before} -m colourbench"
    raise ColourbenchError(
        f"this run was begun on {before} device{'s' * (before > 1)} and there are {engine.ranks} now; go on with it {how}, "
        "or train it under another --study"
    )

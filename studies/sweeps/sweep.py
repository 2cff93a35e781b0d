"""The definition of a sweep, and its Optuna study. A sweep uses the validation split only."""

import logging
import os
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from pydantic import Field

from common.config import as_json, flatten, merge, parse
from common.data.shards import Dataset
from common.errors import ColourbenchError, first_line
from common.system.atomic import appear_whole
from common.system.locks import locked
from common.tracking import redacted
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps import claims
from studies.sweeps.settings import OBJECTIVES, SweepOptions
from studies.sweeps.spaces import check_fields, distribution, grid, space_of, within
from variants.contract.ranges import Choice, Number, Space
from variants.registry import variant_class

GRID_POINTS = 3
STORE_TIMEOUT = 60  # seconds that a process waits while another writes to SQLite


class Sweep(SweepOptions):
    """A sweep: its name, the settings that all its trials share, and its options."""

    name: str
    """Name of the sweep."""
    base: RunConfig
    """The settings that all trials share."""
    space: dict[str, Any] = Field(default={})
    """Changes to the variant's own search space."""
    study: str = ""
    """Name of the MLflow experiment; by default the sweep's name."""

    @property
    def experiment(self) -> str:
        """The MLflow experiment that holds the trials."""
        return self.study or self.name

    def search_space(self) -> Space:
        """Returns the variant's search space with this sweep's changes."""
        own = flatten(as_json(self.base))
        space = space_of(self.base.variant.name, self.space)
        check_fields(space, own)
        return {
            path: dimension
            for path, dimension in space.items()
            if path in self.space or _offers(dimension, own[path])
        }


def _offers(dimension: Number | Choice, value: Any) -> bool:
    """Whether a list of options contains the run's own value: a feature reconstruction loss must not become L1 unless asked for."""
    return not isinstance(dimension, Choice) or value in dimension.options


def open_study(home: Home, sweep: Sweep, dataset: Dataset) -> optuna.Study:
    """Opens the sweep's Optuna study; if it is missing, creates it and queues the first trials.

    Raises:
        ColourbenchError: the store cannot be opened, or the name belongs to another sweep.
    """
    _quieten()
    space = sweep.search_space()
    with locked(home.lock(f"{sweep.name}.claim")):
        study = optuna.create_study(
            study_name=sweep.name,
            storage=_storage(home, sweep.storage or home.optuna_url),
            load_if_exists=True,
            directions=[OBJECTIVES[name] for name in sweep.objectives],
            pruner=_pruner(sweep),
        )
        study.sampler = sampler_of(sweep, len(study.trials))
        _check_same(study, sweep, space, dataset)
        study.set_user_attr("trials", sweep.trials)  # may grow from call to call
        if not study.trials and sweep.continues:
            _take_over(study, load(home, sweep.continues, sweep.storage), space)
        if not study.trials:
            for settings in first_trials(sweep, space):
                study.enqueue_trial(settings)
    return study


def load(home: Home, name: str, storage: str = "") -> optuna.Study:
    """Loads an existing sweep's Optuna study."""
    _quieten()
    url = storage or home.optuna_url
    try:
        return optuna.load_study(study_name=name, storage=_storage(home, url))
    except KeyError:
        raise ColourbenchError(
            f"there is no sweep {name!r} in {redacted(url)}; run `colourbench sweep` first"
        ) from None


def names(home: Home, storage: str = "") -> list[str]:
    """Returns the names of the sweeps in a store."""
    _quieten()
    return optuna.get_all_study_names(_storage(home, storage or home.optuna_url))


def first_trials(sweep: Sweep, space: Space) -> list[dict[str, Any]]:
    """Returns the base settings and the papers' presets, as far as they lie in the space; for a grid, its points.

    A grid with more points than trials is sampled: its first points would all have the same first values.
    """
    if sweep.sampler == "grid":
        return sampled(grid(space, GRID_POINTS), sweep.trials, sweep.base.seed)
    flat = flatten(as_json(sweep.base))
    base = {path: flat[path] for path in space}
    papers = variant_class(sweep.base.variant.name).presets
    presets = [
        {path: value for path, value in preset.items() if path in space} for preset in papers
    ]
    wanted = [base, *({**base, **preset} for preset in presets if preset)]
    return [
        {path: value for path, value in settings.items() if space[path].holds(value)}
        for settings in wanted
    ]


def sampled(points: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` points drawn at random without repetition, in their order; all if there are no more."""
    if len(points) <= count:
        return points
    drawn = random.Random(seed).sample(range(len(points)), count)
    return [points[position] for position in sorted(drawn)]


def sampler_of(sweep: Sweep, trials: int) -> optuna.samplers.BaseSampler:
    """Returns a sampler, seeded by the sweep and the number of its trials so far, so that no suggestion comes twice."""
    seed = zlib.crc32(f"{sweep.name} {sweep.base.seed} {trials}".encode())
    match sweep.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=False)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "random" | "grid":
            return optuna.samplers.RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    """Returns the pruner. Median: prunes trials worse than the median of earlier ones. Hyperband: by the images seen."""
    if not sweep.prunes:
        return optuna.pruners.NopPruner()
    if sweep.pruner == "hyperband":
        images = max(1, round(sweep.base.budget.amount))
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, images // 9), max_resource=images, reduction_factor=3
        )
    return optuna.pruners.MedianPruner(n_startup_trials=min(5, max(1, sweep.trials // 4)))


def _check_same(study: optuna.Study, sweep: Sweep, space: Space, dataset: Dataset) -> None:
    """Checks that the settings are those of the existing sweep: a name stands for one sweep, and must not mix two."""
    base = as_json(sweep.base)
    # these decide the objective
    base["watch"] = {key: base["watch"][key] for key in ("validations", "validation_images")}
    ranges = {path: as_json(dimension) for path, dimension in sorted(space.items())}
    settings = {
        "base": base,
        "space": ranges,
        "objectives": list(sweep.objectives),
        "sampler": sweep.sampler,
        "limits": {"max_seconds": sweep.max_seconds, "max_memory_gb": sweep.max_memory_gb},
        "dataset_sha256": dataset.fingerprint,
    }
    for key, value in settings.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    for key, value in settings.items():
        before = study.user_attrs[key]
        # of an earlier version: fields that it lacks had their defaults
        if key == "base" and isinstance(before, Mapping):
            before = merge({**base, **_defaults(sweep)}, before)
        if before != value:
            took = (
                f", add --continues {sweep.name} to take over the trials that lie in both,"
                if key == "space"
                else ""
            )
            raise ColourbenchError(
                f"the sweep {sweep.name!r} exists with another {key}{_first_difference(before, value)}; "
                f"choose another --name{took} or give it the settings it had"
            )


def _take_over(study: optuna.Study, earlier: optuna.Study, space: Space) -> None:
    """Copies the ended trials of an earlier sweep that lie in this one's space; they count as trials of this one.

    Raises:
        ColourbenchError: the earlier sweep had other settings, or none of its trials lies in the space.
    """
    for key in ("base", "objectives", "limits", "dataset_sha256"):
        before = earlier.user_attrs[key]
        now = study.user_attrs[key]
        if before != now:
            raise ColourbenchError(
                f"--continues {earlier.study_name}: it had another {key}{_first_difference(before, now)}"
            )
    base = flatten(study.user_attrs["base"])
    for trial in earlier.get_trials(states=claims.FINAL):
        values = within(space, base, trial.params)
        if values is None:
            continue
        origin = f"{earlier.study_name} trial {trial.user_attrs['run']:03d}"
        trial.params = values
        trial.distributions = {path: distribution(space[path]) for path in values}
        trial.set_user_attr("run", len(study.trials))  # its number here
        trial.set_user_attr("taken_over", origin)
        study.add_trial(trial)
    if not study.trials:
        raise ColourbenchError(
            f"--continues {earlier.study_name}: none of its ended trials lies in this search space"
        )


def _defaults(sweep: Sweep) -> dict[str, Any]:
    """The default settings of the sweep's variant, schedule and engine."""
    config = parse(
        RunConfig,
        {"variant": {"name": sweep.base.variant.name}, "dataset": sweep.base.dataset},
        "defaults",
    )
    return {
        name: value
        for name, value in as_json(config).items()
        if name in ("variant", "schedule", "engine")
    }


def _first_difference(before: Any, now: Any) -> str:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return f" ({before} instead of {now})"
    old = flatten(before)
    new = flatten(now)
    field = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f" ({field} was {old.get(field)} and is {new.get(field)})"


def _storage(home: Home, url: str) -> optuna.storages.RDBStorage:
    local = url.startswith("sqlite")
    options: dict[str, Any] = (
        {"connect_args": {"timeout": STORE_TIMEOUT}}
        if local
        else {"pool_pre_ping": True, "pool_size": 1}
    )
    beat: dict[str, Any] = {
        "heartbeat_interval": claims.HEARTBEAT_SECONDS,
        "grace_period": claims.GRACE_SECONDS,
    }
    if urlsplit(url)._replace(scheme="") == urlsplit(
        os.environ.get("MLFLOW_TRACKING_URI", "")
    )._replace(scheme=""):
        raise ColourbenchError(
            f"the sweeps' store {redacted(url)} is MLflow's database too, and both keep a table alembic_version: "
            "make a second database (CREATE DATABASE optuna;) and name it in --storage"
        )
    try:
        # two processes must not create a new store at once
        with locked(home.path / ".optuna.lock"):
            if url == home.optuna_url:
                appear_whole(home.sweeps_file, _make_store)
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_stale_trial_callback=claims.after_a_kill,
                **beat,
            )
    except Exception as error:  # SQLAlchemy's drivers raise their own types
        reason = first_line(error)[:200].replace(url, "the store")
        raise ColourbenchError(f"cannot open the sweeps' store {redacted(url)}: {reason}") from None


def _make_store(path: Path) -> None:
    """Creates Optuna's tables in a new SQLite file."""
    optuna.storages.RDBStorage(f"sqlite:///{path}").engine.dispose()


def _quieten() -> None:
    import warnings

    from optuna.exceptions import ExperimentalWarning

    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    # `claims.alive` records it without Study.optimize
    warnings.filterwarnings("ignore", message="Heartbeat of storage")

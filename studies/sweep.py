"""Hyper-parameter sweeps: an Optuna study whose trials are runs in MLflow.

A sweep looks at the validation split only. It is resumed by the same command: the launcher holds the sweep's lock, so that a
trial still marked as running belongs to a dead process, and is tried again with the same settings from its checkpoint.
"""

import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from common import checkpoint
from common.config import as_json, flatten, override, parse, sha256
from common.errors import ColourbenchError, Interrupted, first_line
from common.files import locked
from common.shards import Dataset
from common.tracking import Run, redacted
from studies.home import Home
from studies.run import Place, train_run
from studies.run_config import RunConfig
from studies.spaces import Space, space_of, suggest

OBJECTIVES: dict[str, Literal["minimize", "maximize"]] = {
    "delta_e": "minimize",
    "psnr_rgb": "maximize",
    "psnr_ab": "maximize",
    "ssim": "maximize",
    "colourfulness_difference": "minimize",
}
FINAL = (TrialState.COMPLETE, TrialState.PRUNED)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """What a sweep is: a name, the settings that all its trials share, how many trials, and what is optimised."""

    name: str
    base: RunConfig
    trials: int
    objective: str = "delta_e"
    study: str = ""  # the MLflow experiment; the sweep's name where it stands alone
    storage: str = ""

    @property
    def experiment(self) -> str:
        """The MLflow experiment that holds the trials."""
        return self.study or self.name


def run_sweep(home: Home, sweep: Sweep, say: Say = print) -> FrozenTrial:
    """Runs trials until the sweep has `trials` finished ones, pruned ones included, and returns the best.

    Raises:
        Interrupted: a signal came; the same command goes on.
        ColourbenchError: every trial failed, the store cannot be opened, or another process runs this sweep.
    """
    if sweep.objective not in OBJECTIVES:
        raise ColourbenchError(f"there is no objective {sweep.objective!r}; the objectives are {', '.join(OBJECTIVES)}")
    dataset = home.dataset(sweep.base.dataset)
    space = space_of(sweep.base.variant.name)
    with locked(home.path / "locks" / f"{sweep.name}.lock", f"the sweep {sweep.name} is being run by another process"):
        study = _open(home, sweep, space, dataset)
        parent = _open_parent(home, sweep)
        retries = _retry_the_dead(study)
        if retries:
            say(f"{retries} interrupted trial{'s' if retries > 1 else ''} will go on from where it stopped")
        try:
            _optimise(home, sweep, study, dataset, parent, say)
        except BaseException:
            parent.abandon("KILLED")
            raise
        return _conclude(study, parent, sweep)


def best_fields(home: Home, name: str, storage: str = "") -> dict[str, Any]:
    """The variant's fields that a sweep found best: its base settings with the best trial's values.

    Raises:
        ColourbenchError: no such sweep, or no finished trial in it.
    """
    study = load(home, name, storage)
    base: dict[str, Any] = study.user_attrs["base"]
    fields = override(base, [])
    for path, value in _best(study, name).params.items():
        _assign(fields, path, value)
    return {"variant": fields["variant"]}  # batches, device and the rest are the study's, equal for all its arms


def load(home: Home, name: str, storage: str = "") -> optuna.Study:
    """An existing sweep's Optuna study."""
    _quieten()
    url = storage or home.optuna_url
    try:
        return optuna.load_study(study_name=name, storage=_storage(home, url))
    except KeyError:
        raise ColourbenchError(f"there is no sweep {name!r} in {redacted(url)}; run `colourbench sweep` first") from None


def names(home: Home, storage: str = "") -> list[str]:
    """The sweeps in a store."""
    _quieten()
    return optuna.get_all_study_names(_storage(home, storage or home.optuna_url))


def _open(home: Home, sweep: Sweep, space: Space, dataset: Dataset) -> optuna.Study:
    _quieten()
    url = sweep.storage or home.optuna_url
    seed = zlib.crc32(f"{sweep.name} {sweep.base.seed}".encode())
    study = optuna.create_study(
        study_name=sweep.name,
        storage=_storage(home, url),
        load_if_exists=True,
        direction=OBJECTIVES[sweep.objective],
        pruner=_pruner(sweep),
    )
    # a resumed sweep must not repeat the suggestions of its first seed
    study.sampler = optuna.samplers.TPESampler(seed=(seed + len(study.trials)) % 2**32, multivariate=False)
    _check_same(study, sweep, space, dataset)
    if not study.trials:
        study.enqueue_trial(_preset(sweep.base, space))
    return study


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    """Stops a trial that is worse than the median of the trials before it."""
    return optuna.pruners.MedianPruner(n_startup_trials=min(5, max(1, sweep.trials // 4)))


def _check_same(study: optuna.Study, sweep: Sweep, space: Space, dataset: Dataset) -> None:
    """A name stands for one sweep: other settings under it would mix two."""
    base = as_json(sweep.base)
    base["watch"] = {key: base["watch"][key] for key in ("validations", "validation_images")}  # these decide the objective
    now = {"base": base, "space": sorted(space), "objective": sweep.objective, "dataset_sha256": dataset.fingerprint}
    for key, value in now.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    for key, value in now.items():
        before = study.user_attrs[key]
        if before != value:
            raise ColourbenchError(
                f"the sweep {sweep.name!r} exists with another {key}{_first_difference(before, value)}; "
                "choose another --name, or give it the settings it had"
            )


def _first_difference(before: Any, now: Any) -> str:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return f" ({before} instead of {now})"
    old, new = flatten(before), flatten(now)
    field = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f" ({field} was {old.get(field)} and is {new.get(field)})"


def _preset(base: RunConfig, space: Space) -> dict[str, Any]:
    """The base settings' own values: the first trial is the paper's."""
    flat = flatten(as_json(base))
    return {path: flat[path] for path in space}


def _retry_the_dead(study: optuna.Study) -> int:
    """Ends trials whose process is gone and enqueues them again with the same settings."""
    dead = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    for trial in dead:
        _enqueue_again(study, trial)
        study.tell(trial.number, state=TrialState.FAIL)
    return len(dead)


def _enqueue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues a trial's settings, those it was given but had not asked for yet included; never twice."""
    run = trial.user_attrs.get("run", trial.number)
    waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
    if run not in {other.user_attrs.get("run") for other in waiting}:
        study.enqueue_trial({**trial.system_attrs.get("fixed_params", {}), **trial.params}, user_attrs={"run": run})


def _optimise(home: Home, sweep: Sweep, study: optuna.Study, dataset: Dataset, parent: Run, say: Say) -> None:
    space = space_of(sweep.base.variant.name)
    failures_in_a_row = 0
    while (done := _count(study)) < sweep.trials:
        trial = study.ask()
        number = int(trial.user_attrs.get("run", trial.number))
        trial.set_user_attr("run", number)
        say(f"trial {done + 1} of {sweep.trials}")
        try:
            value = _run_trial(home, sweep, trial, number, space, dataset, parent)
        except optuna.TrialPruned:
            _forget_checkpoints(home, sweep, number)
            study.tell(trial, state=TrialState.PRUNED)
            say("  pruned: worse than the median of the trials before it")
        except (Interrupted, KeyboardInterrupt):
            _enqueue_again(study, study.trials[trial.number])
            study.tell(trial, state=TrialState.FAIL)
            raise
        except ColourbenchError as error:
            study.tell(trial, state=TrialState.FAIL)
            say(f"  failed: {error}")
            failures_in_a_row += 1
            if failures_in_a_row >= 3:
                raise ColourbenchError(f"three trials in a row failed; the last one: {error}") from None
            continue
        else:
            study.tell(trial, value)
            say(f"  {sweep.objective} {value:.4g}")
        failures_in_a_row = 0


def _forget_checkpoints(home: Home, sweep: Sweep, number: int) -> None:
    """A pruned trial is never taken up again."""
    for run in home.store.find(sweep.experiment, {"mlflow.runName": _run_name(sweep, number)}):
        checkpoint.remove_all(run.folder)


def _run_name(sweep: Sweep, number: int) -> str:
    return f"{sweep.name} trial {number:03d}"


def _run_trial(home: Home, sweep: Sweep, trial: optuna.Trial, number: int, space: Space, dataset: Dataset, parent: Run) -> float:
    fields = as_json(sweep.base)
    for path, value in suggest(space, trial).items():
        _assign(fields, path, value)
    config = parse(RunConfig, fields, f"sweep {sweep.name}, trial {number}")
    last, reports = float("nan"), 0

    def report(validation: int, metrics: dict[str, float]) -> None:
        nonlocal last, reports
        last, reports = metrics[sweep.objective], reports + 1
        trial.report(last, validation)  # by number, not by images: unlike variants must meet at the same steps
        if validation > config.watch.validations / 3 and trial.should_prune():  # the first figures of a GAN say little
            raise optuna.TrialPruned

    tags = {"kind": "trial", "sweep": sweep.name, "trial": str(number)}
    place = Place(sweep.experiment, _run_name(sweep, number), tags, parent)
    run = train_run(home.store, dataset, config, place, report, test=False)
    if not reports:  # an earlier process had come past the last validation
        last = home.store.run(run.id).metrics[f"validation/{sweep.objective}"]
    trial.set_user_attr("mlflow_run", run.id)
    return last


def _open_parent(home: Home, sweep: Sweep) -> Run:
    tags = {
        "kind": "sweep",
        "variant": sweep.base.variant.name,
        "dataset": sweep.base.dataset,
        "config_sha256": sha256([sweep.name]),
    }
    params = {"objective": sweep.objective, "trials": sweep.trials}
    return home.store.open_run(sweep.experiment, f"sweep {sweep.name}", tags, params)


def _conclude(study: optuna.Study, parent: Run, sweep: Sweep) -> FrozenTrial:
    best = _best(study, sweep.name)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    settings = "\n".join(f"* `{path}` = {value}" for path, value in best.params.items())
    parent.note(
        f"Sweep of **{sweep.base.variant.name}** on {sweep.base.dataset}: "
        f"{states.count(TrialState.COMPLETE)} trials complete, {states.count(TrialState.PRUNED)} pruned.\n\n"
        f"Best {sweep.objective}: **{best.value:.4g}** (trial {best.user_attrs['run']:03d})\n\n{settings}"
    )
    parent.log({f"best/{sweep.objective}": float(best.value or 0.0)}, 0)
    parent.finish()
    return best


def _best(study: optuna.Study, name: str) -> FrozenTrial:
    try:
        return study.best_trial
    except ValueError:
        raise ColourbenchError(f"the sweep {name!r} has no completed trial yet") from None


def _count(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINAL))


def _storage(home: Home, url: str) -> optuna.storages.RDBStorage:
    try:
        with locked(home.path / ".optuna.lock"):  # two processes must not create a fresh store at once
            return optuna.storages.RDBStorage(url)
    except Exception as error:  # SQLAlchemy's drivers raise types of their own
        raise ColourbenchError(f"cannot open the sweeps' store {redacted(url)}: {first_line(error)[:200]}") from None


def _assign(fields: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        fields = fields.setdefault(name, {})
    fields[leaf] = value


def _quieten() -> None:
    optuna.logging.set_verbosity(logging.WARNING)

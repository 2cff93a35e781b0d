"""Verbs of a sweep: search a variant's hyper-parameters, and show the results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.config import as_json, parse, read_yaml_file
from common.tracking import redacted
from studies.commands.options import (
    DEFAULT_HOME,
    ConfigOption,
    DataOption,
    HomeOption,
    ImagesOption,
    SetOption,
    StorageOption,
    VariantArgument,
    check_exists,
    one_process,
    open_home,
    run_settings,
    say,
    valid_name,
    with_options_of,
)
from studies.sweeps.settings import SweepOptions

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from studies.home import Home
    from studies.runs.configuration import RunConfig
    from studies.sweeps.sweep import Sweep


@with_options_of(SweepOptions, objectives="--objective")
def sweep(
    variant: VariantArgument,
    data: DataOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep; by default VARIANT-DATASET.")
    ] = None,
    images: ImagesOption = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes on this machine.")] = 1,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after so many hours.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="YAML file that narrows, widens or adds ranges of fields.")
    ] = None,
    status: Annotated[
        bool,
        typer.Option(
            "--status", help="Only show how the sweep stands: what ran, what runs, where."
        ),
    ] = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
    **options: Any,
) -> None:
    """Searches a variant's hyper-parameters with Optuna; every trial is a run in MLflow. Repeat the command to resume the sweep.

    Example: colourbench sweep egan --data flowers-64 --trials 30 --images 20000 --workers 4

    Example: colourbench sweep cgan --data flowers-64 --objective delta_e --objective seconds --sampler gp

    Example: colourbench sweep cgan --data flowers-64 --by people --trials 8

    Example: colourbench sweep egan --data flowers-64 --status
    """
    one_process("sweep")
    check_exists(space)
    sweep_options = parse_sweep_options(options)
    settings = run_settings(variant, data, None, images, changes, config, home)
    name = valid_name(name or f"{variant}-{settings.dataset}")
    if status:
        _show_status(open_home(home), name, sweep_options.storage)
        return
    order = _order(name, settings, sweep_options, space, changes or [])
    search = _steered if order.by == "people" else _searched
    search(order, open_home(home), workers, hours)


def check_sweep(given: Mapping[str, Any], home: Path) -> None:
    """Checks the parameters of the verb `sweep` as it does, without running it.

    Raises:
        ColourbenchError: one is wrong, or the data set is not prepared.
    """
    check_exists(given["space"])
    sweep_options = parse_sweep_options(given)
    variant = given["variant"]
    changes = given["changes"]
    settings = run_settings(
        variant, given["data"], None, given["images"], changes, given["config"], home
    )
    name = valid_name(given["name"] or f"{variant}-{settings.dataset}")
    _order(name, settings, sweep_options, given["space"], changes or []).search_space()


def _order(
    name: str, base: "RunConfig", options: SweepOptions, space: Path | None, changes: Sequence[str]
) -> "Sweep":
    from studies.sweeps.sweep import Sweep  # imported after the settings are validated

    ranges = _without_fixed(base.variant.name, changes, read_yaml_file(space) if space else {})
    wanted = {"name": name, "base": as_json(base), "space": ranges}
    return parse(Sweep, as_json(options) | wanted, "the sweep")


def _without_fixed(
    variant: str, changes: Sequence[str], ranges: Mapping[str, Any]
) -> dict[str, Any]:
    """Takes fields that --set fixes out of the variant's search space, unless --space gives them a range; says which."""
    from variants.registry import variant_class

    named = [assignment.partition("=")[0].strip() for assignment in changes]
    fixed = [path for path in named if path in variant_class(variant).space and path not in ranges]
    for path in fixed:
        say(f"{path} is set, so it is not searched")
    return {**ranges, **dict.fromkeys(fixed)}


def parse_sweep_options(options: Mapping[str, Any]) -> SweepOptions:
    """The options that were given, checked; other parameters of the verb are left aside.

    Raises:
        ColourbenchError: one has a wrong value.
    """
    given = {
        name: options[name]
        for name in SweepOptions.model_fields
        if options.get(name) not in (None, [], ())
    }
    return parse(SweepOptions, given, "the sweep")


def _say_best(order: "Sweep", best: "FrozenTrial") -> None:
    figures = ", ".join(
        f"{title} {value:.4g}" for title, value in zip(order.objectives, best.values, strict=True)
    )
    say(f"\nbest {figures}, with")
    _say_settings(best)
    # a study's `best_of` reads the home folder's store only
    use = (
        "copy these fields into a study's arm"
        if order.storage
        else f"use it in a study with `best_of: {order.name}`"
    )
    where = f" --storage {redacted(order.storage)}" if order.storage else ""
    say(f"{use}; look at it with colourbench sweeps {order.name}{where}, or colourbench ui")


def _searched(order: "Sweep", home: "Home", workers: int, hours: float | None) -> None:
    from studies.sweeps.launcher import run_sweep

    _say_best(order, run_sweep(home, order, say, workers, hours))


def _steered(order: "Sweep", home: "Home", workers: int, hours: float | None) -> None:
    from studies.people import steering

    best = steering.run(home, order, say, workers, hours)
    if best is not None:
        say(f"people prefer trial {best.user_attrs['run']:03d}, with")
        _say_settings(best)


def _say_settings(trial: "FrozenTrial") -> None:
    for path, value in trial.params.items():
        say(f"  --set {path}={value}")


def _show_status(home: "Home", name: str, storage: str) -> None:
    from rich.console import Console

    from studies.sweeps import status, sweep

    Console().print(status.table(sweep.load(home, name, storage)))


def sweeps(
    name: Annotated[str | None, typer.Argument(help="A sweep; without it, all are listed.")] = None,
    storage: StorageOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows the history of a sweep, trial by trial, and draws figures: history, importance, slices, pruning, Pareto front.

    Example: colourbench sweeps demo-cgan
    """
    from studies.sweeps import status

    say(status.text(open_home(home), name, storage))
    if name:
        say(f"page with pictures: {status.page(open_home(home), name, storage)}")

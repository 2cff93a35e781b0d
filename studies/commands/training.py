"""Verbs that train: one run, a sweep, a comparison."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    ConfigOption,
    HomeOption,
    RetrainOption,
    SetOption,
    VariantArgument,
    check_exists,
    one_process,
    open_home,
    run_settings,
    say,
    valid_name,
)

if TYPE_CHECKING:
    from analysis.planning import Plan
    from studies.home import Home


def train(
    variant: VariantArgument,
    data: Annotated[str | None, typer.Option(help="A prepared data set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the first weights and every random draw; 0 by default.")] = None,
    images: Annotated[
        int | None, typer.Option(help="Short for --set budget.amount=N --set budget.unit=images; 100,000 by default.")
    ] = None,
    study: Annotated[str, typer.Option(help="MLflow experiment that the run joins.")] = "train",
    retrain: RetrainOption = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains one run and evaluates it on the test split. The same command again resumes it, or says that it is done.

    Without --images a run draws 100,000 images, in batches of 16, with seed 0.

    Example: colourbench train wgan_gp --data flowers-64 --images 50000 --set variant.n_critic=3
    """
    from common.config import sha256

    settings = run_settings(variant, data, seed, images, changes, config, home)
    from studies.run import Place, train_run  # after the settings are known to be right

    dataset = open_home(home).dataset(settings.dataset)
    short = sha256(settings.identity(dataset.fingerprint))[:6]
    place = Place(valid_name(study), f"{variant} {settings.dataset} seed {settings.seed} {short}", {"kind": "run", "arm": variant})
    run = train_run(open_home(home).store, dataset, settings, place, retrain=retrain)
    say(f"{run.name} is trained (run {run.id[:8]}): its files are in {run.folder}")
    say(f"  next: colourbench evaluate {run.id[:8]}, or colourbench colourise {run.id[:8]} PHOTO --out coloured")


def estimate(
    variant: VariantArgument,
    data: Annotated[str | None, typer.Option(help="A prepared data set.")] = None,
    study: Annotated[
        Path | None, typer.Option(help="Take the settings of an arm of this study; VARIANT is then the arm's name.")
    ] = None,
    as_data: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Measures a few steps and says what a run would cost: parameters, FLOPs, memory and hours on this machine.

    Example: colourbench estimate cgan --data pets-128 --set variant.generator.recompute=true --set batches.size=32

    Example: colourbench estimate deoldify --study studies/deoldify.yaml --data pets-128
    """
    import json
    from dataclasses import asdict

    check_exists(study)
    from studies.study import arm_settings

    settings = (
        arm_settings(study, variant, data, changes or [])
        if study
        else run_settings(variant, data, None, None, changes, config, home)
    )
    from studies.estimate import estimate as measure

    found = measure(open_home(home).dataset(settings.dataset), settings)
    if as_data:
        say(json.dumps(asdict(found)))
        return
    say(f"generator {found.generator_parameters:,} parameters, critic {found.critic_parameters:,}")
    say(f"memory: {found.peak_memory_gb:.2f} GB at batches.size={settings.batches.size} in {found.precision} on {found.device}")
    for phase in found.phases:
        speed = f"{phase.images / phase.seconds:,.1f} images/s, {phase.gflops / phase.images:,.1f} GFLOP an image"
        say(f"{phase.name:<20}{speed}, {phase.hours:,.2f} hours")
    say(f"the whole budget of {settings.budget.amount:,.0f} {settings.budget.unit}: {found.hours:,.2f} hours, validation left out")


def sweep(
    variant: VariantArgument,
    data: Annotated[str | None, typer.Option(help="A prepared data set.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the sweep should have, pruned ones included.")] = 20,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; by default VARIANT-DATASET.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="delta_e (the default), psnr_rgb, psnr_ab, ssim, colourfulness_difference, ab_distance, seconds or "
            "peak_memory_gb; several give a Pareto front."
        ),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Short for --set budget.amount=N --set budget.unit=images.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes on this machine.")] = 1,
    hours: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so many hours.")] = None,
    sampler: Annotated[str, typer.Option(help="tpe, gp, random, grid or cmaes.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="median, hyperband (by images seen) or none.")] = "median",
    space: Annotated[Path | None, typer.Option(help="YAML file that narrows, widens or adds ranges of fields.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Trials that train longer cannot win.")] = None,
    max_memory_gb: Annotated[float | None, typer.Option(help="Trials that take more memory cannot win.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Seeds for the best trials before the winner is named.")] = 1,
    finalists: Annotated[int, typer.Option(min=1, max=20, help="How many of the best are repeated.")] = 3,
    storage: Annotated[
        str, typer.Option(help="Optuna store; by default an SQLite file in the home folder. Several hosts: postgresql+psycopg://…")
    ] = "",
    status: Annotated[bool, typer.Option("--status", help="Only show how the sweep stands: what ran, what runs, where.")] = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Searches a variant's hyper-parameters with Optuna; every trial is a run in MLflow. The same command again goes on.

    Example: colourbench sweep egan --data flowers-64 --trials 30 --images 20000 --workers 4

    Example: colourbench sweep cgan --data flowers-64 --objective delta_e --objective seconds --sampler gp

    Example: colourbench sweep egan --data flowers-64 --status
    """
    from common.config import parse, read_yaml_file
    from common.tracking import redacted

    one_process("sweep")
    check_exists(space)
    settings = run_settings(variant, data, None, images, changes, config, home)
    from studies.sweeps.launcher import run_sweep  # after the settings are known to be right
    from studies.sweeps.sweep import Sweep

    if status:
        _show_status(open_home(home), name or f"{variant}-{settings.dataset}", storage)
        return
    wanted = {
        "name": valid_name(name or f"{variant}-{settings.dataset}"),
        "base": settings.model_dump(mode="json"),
        "trials": trials,
        "objectives": objective or ["delta_e"],
        "sampler": sampler,
        "pruner": pruner,
        "space": read_yaml_file(space) if space else {},
        "max_seconds": max_seconds,
        "max_memory_gb": max_memory_gb,
        "repeats": repeats,
        "finalists": finalists,
        "storage": storage,
    }
    order = parse(Sweep, wanted, "the sweep")
    best = run_sweep(open_home(home), order, say, workers, hours)
    figures = ", ".join(f"{title} {value:.4g}" for title, value in zip(order.objectives, best.values, strict=True))
    say(f"\nbest {figures}, with")
    for path, value in best.params.items():
        say(f"  --set {path}={value}")
    # studies read the home's store
    use = "copy these fields into a study's arm" if storage else f"use it in a study with `best_of: {order.name}`"
    where = f" --storage {redacted(storage)}" if storage else ""
    say(f"{use}; look at it with colourbench sweeps {order.name}{where}, or colourbench ui")


def _show_status(home: "Home", name: str, storage: str) -> None:
    from rich.console import Console

    from studies.sweeps import status, sweep

    Console().print(status.table(sweep.load(home, name, storage)))


def sweeps(
    name: Annotated[str | None, typer.Argument(help="A sweep; without it, all are listed.")] = None,
    storage: Annotated[str, typer.Option(help="Optuna store; by default an SQLite file in the home folder.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows the history of a sweep, trial by trial, and draws it: history, importance, slices, pruning, Pareto front.

    Example: colourbench sweeps demo-cgan
    """
    from studies.sweeps import history

    say(history.text(open_home(home), name, storage))
    if name:
        say(f"page with pictures: {history.page(open_home(home), name, storage)}")


def compare(
    study: Annotated[Path, typer.Argument(help="A study's YAML file.")],
    dataset: Annotated[str | None, typer.Option("--data", help="Use this data set instead of the file's.")] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Run every arm in miniature, by default on photographs that come with the dependencies.")
    ] = False,
    retrain: RetrainOption = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="settled|WIDTH",
            help="Add seeds, all arms alike, until half of every interval of the primary metric is WIDTH or less; `settled` is "
            "narrow enough for a verdict on the study's margin.",
        ),
    ] = None,
    most_seeds: Annotated[int, typer.Option(min=2, max=1000, help="Where --until stops in any case.")] = 20,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains every arm and seed of a study under one budget, and its baselines. Finished runs are not run again.

    Budget and seeds are those of the file: 200,000 images and seeds 0, 1, 2 in the studies that come with colourbench, and where a
    file names none, 100,000 images and seeds 0, 1, 2.

    Example: colourbench compare studies/variants.yaml --data flowers-64 --set budget.amount=20000 --set 'seeds=[0, 1, 2, 3, 4]'

    Seeds that --until adds belong to the study from then on. It stops by the width of the intervals and never by what they say.

    Example: colourbench compare studies/nogan.yaml --smoke

    Example: colourbench compare studies/variants.yaml --data flowers-64 --until settled --most-seeds 12
    """
    from common.config import parse

    one_process("compare")
    fields = _study_fields(study, dataset, changes, None if smoke and not dataset else home)
    from studies.compare import How  # after what can be told without torch
    from studies.compare import compare as run_comparison
    from studies.packaged import packaged_dataset
    from studies.smoke import smoke as smoke_study
    from studies.study import Study
    from studies.until import rule

    settings = parse(Study, fields, str(study))
    wanted = rule(until, most_seeds) if until else None
    if smoke:
        settings = smoke_study(settings, dataset or packaged_dataset(open_home(home)).name)
    failures = run_comparison(open_home(home), settings, say, How(retrain=retrain, until=wanted))
    if failures:
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    say(f"the study {settings.name} is complete; next: colourbench report {settings.name}")


def plan(
    study: Annotated[Path, typer.Argument(help="A study's YAML file.")],
    dataset: Annotated[str | None, typer.Option("--data", help="Use this data set instead of the file's.")] = None,
    pilot: Annotated[
        int,
        typer.Option(
            min=0, max=20, help="First train so many of the study's seeds, its own first ones; 0 takes the runs that exist."
        ),
    ] = 0,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says what seeds and photographs would see, what they cost, and which design is the cheapest that settles the study's margin.

    It goes by how far the seeds of runs that exist lie apart, so that some must exist: two of each arm at least, better four.

    Example: colourbench plan studies/variants.yaml --data flowers-64 --pilot 3
    """
    from common.config import parse

    fields = _study_fields(study, dataset, changes, home)
    from analysis import results  # after what can be told without torch
    from analysis.planning import plan as planned
    from studies.compare import How
    from studies.compare import compare as run_comparison
    from studies.study import Study

    settings = parse(Study, fields, str(study))
    if settings.datasets:
        raise ColourbenchError(f"a plan is for one data set: add --data with one of {', '.join(settings.datasets)}")
    if pilot and (failures := run_comparison(open_home(home), settings, say, How(pilot=pilot))):
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    found = results.load(open_home(home).store, open_home(home).data, settings.name)
    for name in ("dataset", "primary", "budget"):
        if (there := found.settings[name]) != (asked := settings.model_dump(mode="json")[name]):
            have = f"the runs of {settings.name} have {name}={there}, and the plan is asked for {asked}"
            raise ColourbenchError(f"{have}; add --pilot 3, or plan for theirs")
    _say_plan(planned(found, settings.margin), settings.margin)


def _study_fields(study: Path, dataset: str | None, changes: list[str] | None, home: Path | None) -> dict[str, Any]:
    """What a study's file says after the options.

    Args:
        home: where its data sets must be prepared; None does not look.
    """
    from common.config import override, read_yaml_file

    fields: dict[str, Any] = read_yaml_file(study)
    if dataset:
        fields = {name: value for name, value in fields.items() if name != "datasets"} | {"dataset": dataset}
    fields = override(fields, changes or [])
    if home:
        for name in fields.get("datasets") or [fields.get("dataset")]:
            open_home(home).check_dataset(str(name))
    return fields


def _say_plan(found: "Plan", margin: float) -> None:
    parts = found.variances
    deviations = ", ".join(f"{variance**0.5:.2f}" for variance in parts.seeds)
    where = f"from {found.pilot_seeds} seeds on {found.photographs} photographs"
    say(f"{where}; hardest to tell apart: {found.first} and {found.second}")
    liking = f"of what photographs like of the two {parts.photographs**0.5:.2f}"
    say(f"standard deviation over seeds {deviations}, {liking}\n")
    say(f"{'seeds':>6}{'photographs':>13}{'interval ±':>12}{'seen with 80 %':>16}{'hours':>8}")
    for row in found.designs.to_dict("records"):
        design = f"{row['seeds']:>6.0f}{row['photographs']:>13.0f}"
        say(f"{design}{row['half_width']:>12.2f}{row['detectable']:>16.2f}{row['hours']:>8.2f}")
    if found.seeds is None:
        say(f"\nno number of seeds sees {margin:g} on {found.photographs} photographs: more photographs are needed")
    elif found.seeds <= found.pilot_seeds:
        say(f"\na difference of {margin:g} is seen by the {found.pilot_seeds} seeds that there are")
    else:
        say(f"\nthe cheapest design that sees {margin:g}: {found.seeds} seeds, {found.hours:.2f} hours more on this machine")

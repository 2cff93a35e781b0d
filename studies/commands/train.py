"""Verbs of one run: print its fields, train it, estimate its cost."""

from pathlib import Path
from typing import Annotated

import typer

from studies.commands.options import (
    DEFAULT_HOME,
    ConfigOption,
    DataOption,
    HomeOption,
    ImagesOption,
    RetrainOption,
    SetOption,
    VariantArgument,
    check_exists,
    open_home,
    run_settings,
    say,
    valid_name,
)


def train(
    variant: VariantArgument,
    data: DataOption = None,
    seed: Annotated[int | None, typer.Option(help="Decides the first weights and every random draw; 0 by default.")] = None,
    images: ImagesOption = None,
    study: Annotated[str, typer.Option(help="MLflow experiment that the run joins.")] = "train",
    retrain: RetrainOption = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains one run and evaluates it on the test split. Repeating the command resumes the run, or reports that it is finished.

    By default a run draws 100,000 images, in batches of 16, with seed 0.

    Example: colourbench train wgan_gp --data flowers-64 --images 50000 --set variant.n_critic=3
    """
    from common.config import sha256

    settings = run_settings(variant, data, seed, images, changes, config, home)
    from studies.runs.life import Place, RunOptions, train_run  # imported after the settings are validated

    dataset = open_home(home).dataset(settings.dataset)
    short = sha256(settings.identity(dataset.fingerprint))[:6]
    place = Place(valid_name(study), f"{variant} {settings.dataset} seed {settings.seed} {short}", {"kind": "run", "arm": variant})
    run = train_run(open_home(home).store, dataset, settings, place, RunOptions(retrain=retrain))
    say(f"{run.name} is trained (run {run.id[:8]}): its files are in {run.folder}")
    say(f"  next: colourbench evaluate {run.id[:8]}, or colourbench colourise {run.id[:8]} PHOTO --out coloured")


def estimate(
    variant: VariantArgument,
    data: DataOption = None,
    study: Annotated[
        Path | None, typer.Option(help="Take the settings of an arm of this study; VARIANT is then the arm's name.")
    ] = None,
    as_data: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Measures a few steps and estimates what a run would cost: parameters, FLOPs, memory and hours on this machine.

    Example: colourbench estimate cgan --data pets-128 --set variant.generator.recompute=true --set batches.size=32

    Example: colourbench estimate deoldify --study studies/deoldify.yaml --data pets-128
    """
    import json
    from dataclasses import asdict

    check_exists(study)
    from studies.comparisons.arms import arm_settings

    settings = (
        arm_settings(study, variant, data, changes or [])
        if study
        else run_settings(variant, data, None, None, changes, config, home)
    )
    from studies.runs.estimate import estimate as measure

    cost = measure(open_home(home).dataset(settings.dataset), settings)
    if as_data:
        say(json.dumps(asdict(cost)))
        return
    say(f"generator {cost.generator_parameters:,} parameters, critic {cost.critic_parameters:,}")
    say(f"memory: {cost.peak_memory_gb:.2f} GB at batches.size={settings.batches.size} in {cost.precision} on {cost.device}")
    for phase in cost.phases:
        speed = f"{phase.images / phase.seconds:,.1f} images/s, {phase.gflops / phase.images:,.1f} GFLOP an image"
        say(f"{phase.name:<20}{speed}, {phase.hours:,.2f} hours")
    say(f"the whole budget of {settings.budget.amount:,.0f} {settings.budget.unit}: {cost.hours:,.2f} hours, validation left out")


def config(variant: VariantArgument) -> None:
    """Prints every field of a run with its default, range and meaning, as YAML to edit and to use with --config.

    Example: colourbench config egan > egan.yaml
    """
    from common.config import explain_fields

    say(explain_fields(run_settings(variant, "DATASET", None, None, None, None)))

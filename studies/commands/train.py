"""Verbs of one run: print its fields, train it, estimate its cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    check_run,
    open_home,
    run_settings,
    say,
    valid_name,
)

if TYPE_CHECKING:
    from studies.runs.configuration import RunConfig
    from studies.runs.estimate import Estimate


SeedOption = Annotated[
    int | None,
    typer.Option(help="Decides the first weights and every random draw; 0 by default."),
]
StudyOption = Annotated[str, typer.Option(help="MLflow experiment that the run joins.")]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Start from a trained model: a run's id, STUDY/ARM, `champion`, or a model file.",
    ),
]


def train(
    variant: VariantArgument,
    data: DataOption = None,
    seed: SeedOption = None,
    images: ImagesOption = None,
    study: StudyOption = "train",
    start: StartOption = None,
    retrain: RetrainOption = False,
    changes: SetOption = None,
    config: ConfigOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains one run and evaluates it on the test split. Repeating the command resumes the run, or reports that it is finished.

    By default a run draws 100,000 images, in batches of 16, with seed 0. With --from it has the networks of that model, and starts
    from their weights.

    Example: colourbench train cgan --data portraits-64 --from pets-model/model.safetensors --images 20000

    Example: colourbench train wgan_gp --data flowers-64 --images 50000 --set variant.n_critic=3
    """
    from common.config import sha256

    base = _networks_of(start, variant, home) if start else None
    settings = run_settings(variant, data, seed, images, changes, config, home, base)
    # imported after the settings are validated
    from studies.runs.finish import score_later
    from studies.runs.train import Place, RunOptions, train_run

    dataset = open_home(home).dataset(settings.dataset)
    short = sha256(settings.identity(dataset.fingerprint))[:6]
    name = f"{variant} {settings.dataset} seed {settings.seed} {short}"
    place = Place(valid_name(study), name, {"kind": "run", "arm": variant})
    run = train_run(open_home(home).store, dataset, settings, place, RunOptions(retrain=retrain))
    score_later(run, settings, dataset)
    say(f"{run.name} is trained (run {run.id[:8]}): its files are in {run.folder}")
    say(
        f"  next: colourbench evaluate {run.id[:8]}, or colourbench colourise {run.id[:8]} PHOTO --out coloured"
    )


def _networks_of(reference: str, variant: str, home: Path) -> dict[str, Any]:
    """The fields of a run that starts from a trained model: its networks and its file."""
    check_run(home, reference)
    from common.config import as_json
    from studies.use.models import file_of
    from variants.registry import check_name, with_critic

    check_name(variant)
    file = file_of(open_home(home), reference)
    trained = as_json(file.config.variant)
    generator = {name: trained["generator"][name] for name in ("network", "labels", "hints")}
    if generator["network"]["kind"] == "backbone":  # its weights are in the file
        generator["network"] |= {"pretrained": False, "backbone_weights": None, "frozen": False}
    networks: dict[str, Any] = {"name": variant, "generator": generator}
    # which decides the generator's last layer
    if trained["reconstruction"]["loss"] == "bins":
        networks["reconstruction"] = trained["reconstruction"]
    if file.critic and variant in with_critic():
        networks["critic"] = {"network": trained["critic"]["network"]}
    return {"start_from": str(file.path.resolve()), "variant": networks}


EstimateStudyOption = Annotated[
    Path | None,
    typer.Option(help="Take the settings of an arm of this study; VARIANT is then the arm's name."),
]
AsDataOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def estimate(
    variant: VariantArgument,
    data: DataOption = None,
    study: EstimateStudyOption = None,
    as_data: AsDataOption = False,
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
    from studies.comparisons.cells.arms import arm_settings

    if study:
        settings = arm_settings(study, variant, data, changes or [])
    else:
        settings = run_settings(variant, data, None, None, changes, config, home)
    from studies.runs.estimate import estimate as measure

    cost = measure(open_home(home).dataset(settings.dataset), settings)
    if as_data:
        say(json.dumps(asdict(cost)))
        return
    _say_cost(cost, settings)


def _say_cost(cost: "Estimate", settings: "RunConfig") -> None:
    say(f"generator {cost.generator_parameters:,} parameters, critic {cost.critic_parameters:,}")
    where = f"in {cost.precision} on {cost.device}"
    say(f"memory: {cost.peak_memory_gb:.2f} GB at batches.size={settings.batches.size} {where}")
    for phase in cost.phases:
        speed = f"{phase.images / phase.seconds:,.1f} images/s"
        work = f"{phase.gflops / phase.images:,.1f} GFLOP an image"
        say(f"{phase.name:<20}{speed}, {work}, {phase.hours:,.2f} hours")
    budget = f"{settings.budget.amount:,.0f} {settings.budget.unit}"
    say(f"the whole budget of {budget}: {cost.hours:,.2f} hours, validation left out")


def config(variant: VariantArgument) -> None:
    """Prints every field of a run with its default, range and meaning, as YAML to edit and to use with --config.

    Example: colourbench config egan > egan.yaml
    """
    from common.config import explain_fields

    say(explain_fields(run_settings(variant, "DATASET", None, None, None, None)))

"""Verbs of a study: run it, and plan how many seeds it needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    RetrainOption,
    SetOption,
    StudyArgument,
    StudyDataOption,
    one_process,
    open_home,
    say,
)

if TYPE_CHECKING:
    from analysis.verdicts.planning import Plan

SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Run every arm in miniature, by default on photographs that come with the dependencies.")
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="settled|WIDTH",
        help="Add seeds, all arms alike, until half of every interval of the primary metric is WIDTH or less; `settled` is "
        "narrow enough for a verdict on the study's margin.",
    ),
]


def compare(
    study: StudyArgument,
    dataset: StudyDataOption = None,
    smoke: SmokeOption = False,
    retrain: RetrainOption = False,
    until: UntilOption = None,
    most_seeds: Annotated[int, typer.Option(min=2, max=1000, help="Where --until stops in any case.")] = 20,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains every arm and seed of a study under one budget, and scores its baselines. Finished runs are not run again.

    Budget and seeds come from the file; if it names none, they are 100,000 images and seeds 0, 1, 2.

    Seeds that --until adds stay part of the study. It stops by the width of the intervals, never by which arm they favour.

    Example: colourbench compare studies/variants.yaml --data flowers-64 --set budget.amount=20000 --set 'seeds=[0, 1, 2, 3, 4]'

    Example: colourbench compare studies/nogan.yaml --smoke

    Example: colourbench compare studies/variants.yaml --data flowers-64 --until settled --most-seeds 12
    """
    from common.config import parse

    one_process("compare")
    fields = _study_fields(study, dataset, changes, None if smoke and not dataset else home)
    from studies.comparisons.compare import CompareOptions  # imported after the checks that do not need torch
    from studies.comparisons.compare import compare as run_comparison
    from studies.comparisons.smoke import packaged_dataset, smoke_study
    from studies.comparisons.study import Study
    from studies.comparisons.until import rule

    settings = parse(Study, fields, str(study))
    stopping_rule = rule(until, most_seeds) if until else None
    if smoke:
        settings = smoke_study(settings, dataset or packaged_dataset(open_home(home)).name)
    failures = run_comparison(open_home(home), settings, say, CompareOptions(retrain=retrain, until=stopping_rule))
    if failures:
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    say(f"the study {settings.name} is complete; next: colourbench report {settings.name}")


def plan(
    study: StudyArgument,
    dataset: StudyDataOption = None,
    pilot: Annotated[
        int,
        typer.Option(
            min=0, max=20, help="First train so many of the study's seeds, its own first ones; 0 takes the runs that exist."
        ),
    ] = 0,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows which differences seeds and photographs can detect, what they cost, and the cheapest design that settles the margin.

    The estimate uses the spread over seeds of existing runs, so each arm needs at least two finished runs, better four.

    Example: colourbench plan studies/variants.yaml --data flowers-64 --pilot 3
    """
    from common.config import parse

    fields = _study_fields(study, dataset, changes, home)
    from analysis import results  # imported after the checks that do not need torch
    from analysis.verdicts.planning import plan as planned
    from studies.comparisons.compare import CompareOptions
    from studies.comparisons.compare import compare as run_comparison
    from studies.comparisons.study import Study

    settings = parse(Study, fields, str(study))
    if settings.datasets:
        raise ColourbenchError(f"a plan is for one data set: add --data with one of {', '.join(settings.datasets)}")
    if pilot and (failures := run_comparison(open_home(home), settings, say, CompareOptions(pilot=pilot))):
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    study_results = results.load(open_home(home).store, open_home(home).data, settings.name)
    for name in ("dataset", "primary", "budget"):
        if (existing := study_results.settings[name]) != (asked := settings.model_dump(mode="json")[name]):
            have = f"the runs of {settings.name} have {name}={existing}, and the plan is asked for {asked}"
            raise ColourbenchError(f"{have}; add --pilot 3, or plan for theirs")
    _say_plan(planned(study_results, settings.margin), settings.margin)


def _study_fields(study: Path, dataset: str | None, changes: list[str] | None, home: Path | None) -> dict[str, Any]:
    """Reads a study's file and applies the options to it.

    Args:
        home: the folder in which its data sets must be prepared; None skips this check.
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


def _say_plan(estimate: "Plan", margin: float) -> None:
    parts = estimate.variances
    deviations = ", ".join(f"{variance**0.5:.2f}" for variance in parts.seeds)
    where = f"from {estimate.pilot_seeds} seeds on {estimate.photographs} photographs"
    say(f"{where}; hardest to tell apart: {estimate.first} and {estimate.second}")
    liking = f"of what photographs like of the two {parts.photographs**0.5:.2f}"
    say(f"standard deviation over seeds {deviations}, {liking}\n")
    say(f"{'seeds':>6}{'photographs':>13}{'interval ±':>12}{'seen with 80 %':>16}{'hours':>8}")
    for row in estimate.designs.to_dict("records"):
        design = f"{row['seeds']:>6.0f}{row['photographs']:>13.0f}"
        say(f"{design}{row['half_width']:>12.2f}{row['detectable']:>16.2f}{row['hours']:>8.2f}")
    if estimate.seeds is None:
        say(f"\nno number of seeds sees {margin:g} on {estimate.photographs} photographs: more photographs are needed")
    elif estimate.seeds <= estimate.pilot_seeds:
        say(f"\na difference of {margin:g} is seen by the {estimate.pilot_seeds} seeds that there are")
    else:
        say(f"\nthe cheapest design that sees {margin:g}: {estimate.seeds} seeds, {estimate.hours:.2f} hours more on this machine")

"""Verbs of a study: run it, and plan how many seeds it needs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    ImagesOption,
    RetrainOption,
    SetOption,
    StorageOption,
    StudyArgument,
    StudyDataOption,
    one_process,
    open_home,
    say,
)

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis.verdicts.planning import Plan
    from studies.comparisons.compare import CompareOptions
    from studies.comparisons.study import Study
    from studies.home import Home

SmokeOption = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Run every arm in miniature, by default on photographs that come with the dependencies.",
    ),
]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Let arms with other settings take the place of finished runs under the same names.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=256,
        help="Processes that train runs side by side, each with its share of the cores. On a CPU as many as cores is fastest.",
    ),
]
TuneOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="First sweep every arm with so many trials on the validation split; the study takes their best.",
    ),
]
TuneImagesOption = Annotated[int, typer.Option(min=1, help="Images of each of these trials.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not measure and ask how long it may take.")
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
    replace: ReplaceOption = False,
    until: UntilOption = None,
    most_seeds: Annotated[
        int, typer.Option(min=2, max=1000, help="Where --until stops in any case.")
    ] = 20,
    workers: WorkersOption = 1,
    tune: TuneOption = 0,
    tune_images: TuneImagesOption = 20_000,
    storage: StorageOption = "",
    images: ImagesOption = None,
    yes: YesOption = False,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains every arm and seed of a study under one budget, and scores its baselines. Finished runs are not run again.

    Budget and seeds come from the file; if it names none, they are 100,000 images and seeds 0, 1, 2. On a terminal it first says
    how long that takes here, and asks above an hour.

    Example: colourbench compare studies/variants.yaml --data flowers-64 --images 20000 --set 'seeds=[0, 1, 2, 3, 4]'

    Example: colourbench compare studies/nogan.yaml --smoke

    Example: colourbench compare studies/variants.yaml --data flowers-64 --workers 2 --tune 12 --until settled
    """
    one_process("compare")
    changes = _all_changes(images, changes)
    fields = _study_fields(study, dataset, changes, None if smoke and not dataset else home)
    settings = _settings(study, fields, dataset, smoke, home)
    # imported after the checks that do not need torch
    from studies.comparisons.compare import (
        CompareOptions,
    )
    from studies.comparisons.compare import compare as run_comparison
    from studies.comparisons.tuning import Tuning, tune_arms
    from studies.comparisons.until import rule

    stop = rule(until, most_seeds) if until else None
    options = CompareOptions(
        retrain=retrain, replace=replace, until=stop, workers=workers, storage=storage
    )
    if not smoke and not yes and sys.stdin.isatty():
        _ask_for_hours(open_home(home), settings, options)
    if tune:
        settings = tune_arms(
            open_home(home), settings, Tuning(tune, tune_images, workers, storage), say
        )
    _told(run_comparison(open_home(home), settings, say, options), settings.name)


def _all_changes(images: int | None, changes: list[str] | None) -> list[str]:
    """The short option for the budget, as --set would say it, and then what --set says."""
    budget = [] if images is None else [f"budget.amount={images}", "budget.unit=images"]
    return budget + (changes or [])


def _ask_for_hours(home: "Home", study: "Study", options: "CompareOptions") -> None:
    """Says how long the study's runs take on this machine, measured on a few steps of each arm, and asks above an hour.

    Raises:
        ColourbenchError: the answer is no.
    """
    from studies.comparisons.cells.duration import HOUR, in_words, measured_hours, unfinished
    from studies.comparisons.cells.trained import planned_cells

    if study.datasets or any("best_of" in fields for fields in study.arms.values()):
        return  # the settings of the runs are known only later
    dataset = home.dataset(study.dataset)
    cells = planned_cells(home, study, options.storage)
    left = unfinished(home.store, study.name, cells, dataset)
    if not left:
        return
    say(f"measuring a few steps of each arm: {len(left)} of {len(cells)} runs are to be trained")
    hours = measured_hours(left, dataset, options.workers)
    say(f"training takes about {in_words(hours * HOUR)} on this machine, validation left out")
    if hours > 1 and not typer.confirm("Start?"):
        raise ColourbenchError(
            "nothing was trained; --images N trains less, --workers side by side"
        )


def check_comparison(given: Mapping[str, Any], home: Path) -> None:
    """Checks the parameters of the verb `compare` as it does, without running it.

    Raises:
        ColourbenchError: one is wrong, or a data set is not prepared.
    """
    from common.config import parse
    from studies.comparisons.study import Study

    dataset = given["dataset"]
    needs_data = dataset or not given["smoke"]
    changes = _all_changes(given["images"], given["changes"])
    fields = _study_fields(given["study"], dataset, changes, home if needs_data else None)
    parse(Study, fields, str(given["study"]))


def _settings(
    study: Path, fields: dict[str, Any], dataset: str | None, smoke: bool, home: Path
) -> "Study":
    """The study, in miniature if that is asked for."""
    from common.config import parse
    from studies.comparisons.smoke import packaged_dataset, smoke_study
    from studies.comparisons.study import Study

    settings = parse(Study, fields, str(study))
    return (
        smoke_study(settings, dataset or packaged_dataset(open_home(home)).name)
        if smoke
        else settings
    )


def _told(failures: Sequence[ColourbenchError], study: str) -> None:
    """Says that a study is complete, or raises what failed."""
    if failures:
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    say(
        f"the study {study} is complete; next: colourbench report {study}, or colourbench ui {study}"
    )


def plan(
    study: StudyArgument,
    dataset: StudyDataOption = None,
    pilot: Annotated[
        int,
        typer.Option(
            min=0,
            max=20,
            help="First train so many of the study's seeds, its own first ones; 0 takes the runs that exist.",
        ),
    ] = 0,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows which differences a number of seeds finds with 80 % power, what they cost, and how many find the margin.

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
        raise ColourbenchError(
            f"a plan is for one data set: add --data with one of {', '.join(settings.datasets)}"
        )
    if pilot and (
        failures := run_comparison(open_home(home), settings, say, CompareOptions(pilot=pilot))
    ):
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    study_results = results.load(open_home(home).store, open_home(home).data, settings.name)
    for name in ("dataset", "primary", "budget"):
        if (existing := study_results.settings[name]) != (
            asked := settings.model_dump(mode="json")[name]
        ):
            have = f"the runs of {settings.name} have {name}={existing}, and the plan is asked for {asked}"
            raise ColourbenchError(f"{have}; add --pilot 3, or plan for theirs")
    _say_plan(planned(study_results, settings.margin), settings.margin)


def _study_fields(
    study: Path, dataset: str | None, changes: list[str] | None, home: Path | None
) -> dict[str, Any]:
    """Reads a study's file and applies the options to it.

    Args:
        home: the folder in which its data sets must be prepared; None skips this check.
    """
    from common.config import override, read_yaml_file

    fields: dict[str, Any] = read_yaml_file(study)
    if dataset:
        fields = {name: value for name, value in fields.items() if name != "datasets"} | {
            "dataset": dataset
        }
    fields = override(fields, changes or [])
    if home:
        for name in fields.get("datasets") or [fields.get("dataset")]:
            open_home(home).check_dataset(str(name))
    return fields


def _say_plan(estimate: "Plan", margin: float) -> None:
    parts = estimate.variances
    deviations = " and ".join(f"{variance**0.5:.2f}" for variance in parts.seeds)
    say(f"from {estimate.pilot_seeds} seeds on {estimate.photographs} photographs")
    say(f"hardest to tell apart: {estimate.first} and {estimate.second}")
    say(f"standard deviation over seeds: {deviations}")
    say(f"standard deviation of the arm x photograph interaction: {parts.photographs**0.5:.2f}\n")
    _say_designs(estimate.designs)
    say(f"\n{_seeds_sentence(estimate, margin)}")
    say("To settle every pair, better or equivalent, takes about twice as many seeds:")
    say("compare --until settled.")


def _say_designs(designs: "DataFrame") -> None:
    titles = ("interval ±", "found with 80 % power", "hours")
    say(f"{'seeds':>6}{'photographs':>13}{titles[0]:>12}{titles[1]:>23}{titles[2]:>8}")
    for row in designs.to_dict("records"):
        design = f"{row['seeds']:>6.0f}{row['photographs']:>13.0f}"
        power = f"{row['half_width']:>12.2f}{row['detectable']:>23.2f}"
        say(f"{design}{power}{row['hours']:>8.2f}")


def _seeds_sentence(estimate: "Plan", margin: float) -> str:
    from analysis.verdicts.verdict import seeds_in_words

    if estimate.seeds is None:
        return (
            f"With {estimate.photographs} photographs no number of seeds finds a difference of {margin:g}; "
            "use more photographs."
        )
    found = f"find a difference of {margin:g} with 80 % power"
    if estimate.seeds[1] <= estimate.pilot_seeds:
        return f"The {estimate.pilot_seeds} seeds that there are {found}."
    hours = f"; at least {estimate.hours:.2f} hours more on this machine" if estimate.hours else ""
    return f"{seeds_in_words(estimate.seeds)} seeds {found}{hours}."

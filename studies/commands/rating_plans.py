"""Verbs around a human study: how many raters it needs, whether it may stop, and answers from elsewhere."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, check_exists, open_home, say, valid_name
from studies.commands.ratings import AnswersOption, FolderOption, TestOption, _print_tables

POINTS = 100.0


def plan(
    difference: Annotated[float, typer.Option(help="The smallest difference that matters: points of a rate, or of a 1–5 score.")],
    test: TestOption = "pair",
    raters: Annotated[int | None, typer.Option(min=2, help="Only the power of this many raters.")] = None,
    trials: Annotated[int, typer.Option(min=4, max=1000, help="Questions for each rater, control questions included.")] = 40,
    photographs: Annotated[int, typer.Option(min=2, help="Photographs in the study.")] = 100,
    arms: Annotated[int, typer.Option(min=2, max=20, help="Arms that are rated.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each arm.")] = 5,
    pilot: Annotated[str | None, typer.Option(help="A human study whose answers tell how people and photographs differ.")] = None,
    studies: Annotated[int, typer.Option(min=20, help="Simulated studies for each number of raters.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 0,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says how many raters see a difference: the share of simulated studies that find it at 5 %, by the number of raters.

    Example: colourbench ratings plan --difference 5 --photographs 200 --arms 4 --seeds 5

    Example: colourbench ratings plan --difference 0.3 --test opinion --pilot demo
    """
    from analysis.ratings.planning import power
    from studies.commands.ratings import _design

    design = _design(test, raters or 0, trials, seed)
    people = power.from_pilot(_answers(home, pilot), design.test) if pilot else power.assumed(design.test)
    real = difference if design.test == "opinion" else difference / POINTS
    if not 0 < real < 4:
        raise ColourbenchError(f"--difference {difference}: give a positive number of points")
    say(f"{'from the pilot ' + pilot if pilot else 'assumed'}: {people}")
    shape = (photographs, arms, seeds, real, people, studies, seed)
    found = [(raters, power.power(design, *shape))] if raters else power.raters_needed(design, *shape)
    reached = 0.0
    for number, reached in found:
        say(f"{number:4} raters x {trials} trials: found in {reached:.0%} of the studies")
    if not raters and reached < power.ENOUGH:
        say(f"no realistic number of raters reaches {power.ENOUGH:.0%}: raise --seeds, --photographs or --difference")


def status(
    study: Annotated[str, typer.Argument(help="A human study that runs.")],
    difference: Annotated[float, typer.Option(help="The smallest difference that matters: points of a rate, or of a score.")] = 5.0,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says which arms are told apart so far, and whether the study may stop. You may look as often as you like.

    The intervals are wider than those of `ratings tables`, for they hold at all looks at once.

    Example: colourbench ratings status demo --difference 5
    """
    from analysis.ratings.planning import stopping
    from analysis.ratings.study import RatingStudy
    from studies.commands.ratings import _store

    opened = RatingStudy(folder or open_home(home).ratings(study))
    from analysis.ratings.answers.collection import tidy

    test, given = opened.key.design.test, tidy(opened, _store(opened, answers))
    if test == "preference":
        raise ColourbenchError("status is for pair, single and opinion tests; use `ratings tables` once, at the planned end")
    scale = 1.0 if test == "opinion" else POINTS
    found = stopping.looks(given, test, difference / scale)
    say(f"{given['rater'].nunique()} raters, {len(given)} answers")
    for look in found:
        say(
            f"{look.first} - {look.second}: {look.difference * scale:+.2f} [{look.low * scale:+.2f}, {look.high * scale:+.2f}]: "
            f"{look.state}"
        )
    if not found:
        say(f"too early: a decision needs {stopping.FEWEST_RATERS} raters at least, who saw each arm on several photographs")
    elif all(look.state != stopping.GO_ON for look in found):
        say("every pair is settled: the study may stop")


def import_answers(
    study: Annotated[str, typer.Argument(help="A new name for these answers.")],
    file: Annotated[Path, typer.Argument(help="CSV file with one answer a row.")],
    test: TestOption = "opinion",
    columns: Annotated[
        list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Which column is the rater, image, arm, other, …")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--value", metavar="THEIRS=OURS", help="What an answer means, such as 1=left.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Reads anybody's answers from a long CSV file and writes the same tables as for our own studies.

    Example: colourbench ratings import tmo answers.csv --test preference --column rater=observer --column image=scene
    --column arm=condition_A --column other=condition_B --column response=is_A_selected --value 1=left --value 0=right
    """
    check_exists(file)
    from analysis.ratings.answers import imports, results
    from studies.commands.ratings import _design

    folder = open_home(home).ratings(valid_name(study))
    if (folder / "key.json").exists():
        raise ColourbenchError(f"{study} is a study of this home; choose another name")
    design = _design(test, 0, 4, 0)
    tidy = imports.read(file, design.test, _pairs(columns, "--column"), _pairs(values, "--value"), study)
    folder.mkdir(parents=True, exist_ok=True)
    tidy.to_csv(folder / "responses.csv", index=False)
    found = results.judge(tidy, design.test)
    results.write_frames(found, folder / "tables")
    _print_tables(found)
    for remark in results.remarks(tidy, design.test):
        say(f"note: {remark}")
    say(f"tidy answers: {folder / 'responses.csv'}\ntables: {folder / 'tables'}")


def _answers(home: Path, study: str) -> Any:
    """The answers of a human study of this home."""
    import pandas as pd

    path = open_home(home).ratings(study) / "responses.csv"
    if not path.exists():
        raise ColourbenchError(f"{study} has no answers yet, at {path}; see `colourbench ratings tables --help`")
    return pd.read_csv(path, keep_default_na=True)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    parted = [word.partition("=") for word in given or []]
    wrong = [left for left, sign, right in parted if not (left and sign and right)]
    if wrong:
        raise ColourbenchError(f"{option} {wrong[0]}: write it as NAME=VALUE")
    return {left: right for left, _, right in cast(Any, parted)}

"""Verbs of the human study: make rating sheets, read the answers."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, check_exists, check_study, open_home, say


def sheets(
    study: Annotated[str, typer.Argument(help="A study that was compared.")],
    test: Annotated[str, typer.Option(help="`pair`: which of two is real; `opinion`: naturalness from 1 to 5.")] = "pair",
    raters: Annotated[int, typer.Option(min=1, max=1000, help="How many raters.")] = 10,
    trials: Annotated[int, typer.Option(min=4, max=1000, help="Questions for each rater, control questions included.")] = 40,
    seed: Annotated[int, typer.Option(help="Decides order, sides and who sees what.")] = 0,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Rate this arm, as often as needed; by default all but the baselines.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default runs/ratings/STUDY.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes blinded rating sheets, an XLSX and a CSV file for each rater. Give each rater only their own folder; keep `key.json`.

    Example: colourbench ratings sheets demo --test opinion --raters 15 --trials 30
    """
    from analysis.ratings.schedule import TESTS, Design

    if test not in TESTS:
        raise ColourbenchError(f"--test {test}: choose {' or '.join(TESTS)}")
    check_study(home, study)
    from analysis import results
    from analysis.ratings.sheets import key_summary, read_key  # imported after the checks that do not need torch
    from analysis.ratings.study_ratings import write_sheets

    opened_home = open_home(home)
    study_results, design = results.load(opened_home.store, opened_home.data, study), Design(cast(Any, test), raters, trials, seed)
    folder = write_sheets(study_results, design, out or opened_home.ratings(study), arms or [])
    counts = key_summary(read_key(folder.parent))
    say(f"sheets for {counts['raters']} raters, {counts['trials']} trials: {folder}")
    say(f"the key, which raters must not see: {folder.parent / 'key.json'}")
    say(f"when they are filled in: colourbench ratings tables {study}")


def tables(
    study: Annotated[str, typer.Argument(help="The study whose sheets were filled in.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Filled sheets; by default those in the study's sheets folder.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--from", help="Folder with key.json; by default runs/ratings/STUDY.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Reads filled-in sheets and writes fooling rates or opinion scores by arm, with intervals, and one tidy table of answers.

    Example: colourbench ratings tables demo ~/returned/*.xlsx
    """
    check_exists(folder, *(files or []))
    from analysis.ratings.study_ratings import read_answers

    ratings_folder = folder or open_home(home).ratings(study)
    for name, frame in read_answers(ratings_folder, files or []).items():
        say(
            f"{name.replace('_', ' ')}:\n{frame.round(3).to_string(index=False)}\n"
            if len(frame)
            else f"{name}: needs two raters or more\n"
        )
    say(f"tidy answers: {ratings_folder / 'responses.csv'}\ntables: {ratings_folder / 'tables'}")

"""Verbs about ratings from elsewhere: anybody's answers as our tables, and anybody's scores of pictures beside our metrics."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from common.errors import ColourbenchError
from common.system.names import KEY
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    check_exists,
    open_home,
    say,
    valid_name,
)
from studies.commands.rating_options import TestOption
from studies.commands.ratings import design_of, print_tables

ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="OURS=THEIRS",
        help="Which of the file's columns is ours, as often as needed.",
    ),
]


def import_answers(
    study: Annotated[str, typer.Argument(help="A new name for these answers.")],
    file: Annotated[Path, typer.Argument(help="CSV file with one answer a row.")],
    test: TestOption = "opinion",
    columns: ColumnOption = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--value", metavar="THEIRS=OURS", help="What an answer means, such as 1=left."
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Reads anybody's answers from a long CSV file and writes the same tables as for our own studies.

    Example: colourbench ratings import tmo answers.csv --test preference --column rater=observer --column image=scene
    --column arm=condition_A --column other=condition_B --column response=is_A_selected --value 1=left --value 0=right
    """
    check_exists(file)
    from studies.people import imports, results

    folder = open_home(home).ratings(valid_name(study))
    if (folder / KEY).exists():
        raise ColourbenchError(f"{study} is a study of this home; choose another name")
    design = design_of(test, 0, 4, 0)
    tidy = imports.read(
        file, design.test, _pairs(columns, "--column"), _pairs(values, "--value"), study
    )
    folder.mkdir(parents=True, exist_ok=True)
    tidy.to_csv(folder / "responses.csv", index=False)
    frames = results.judge(tidy, design.test)
    results.write_frames(frames, folder / "tables")
    print_tables(frames)
    say(f"tidy answers: {folder / 'responses.csv'}\ntables: {folder / 'tables'}")


def metrics(
    scores: Annotated[
        Path,
        typer.Argument(
            help="CSV file with a picture and its score a row: columns reference, image, score."
        ),
    ],
    pictures: Annotated[
        Path, typer.Option("--images", help="Folder of the pictures and their references.")
    ],
    columns: ColumnOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables as CSV, Markdown and LaTeX.")
    ] = None,
) -> None:
    """Says which metric agrees with people: rank correlations within each scene, and whether a combination agrees better.

    Each scene's combination is fitted to the other scenes. The reference itself, if it was scored, is left out.

    Example: colourbench ratings metrics mean_zscores.csv --images images --column "reference=Ground Truth File"
    --column "image=Recolour File" --column "score=Mean zScore"
    """
    check_exists(scores, pictures)
    from analysis.people import judged_images
    from common.colour.metrics import MEASURED
    from studies.people import imports, results

    table = imports.read_scores(scores, _pairs(columns, "--column"))
    measured = judged_images.measure(table[table["image"] != table["reference"]], pictures)
    frames = {
        "by_scene": judged_images.by_scene(measured, MEASURED),
        "compared": judged_images.compared(measured, MEASURED),
    }
    wide = (
        frames["by_scene"].pivot(index="metric", columns="scene", values="spearman").reset_index()
    )
    print_tables({"spearman_by_scene": wide, "over_the_scenes": frames["compared"]})
    if out:
        results.write_frames(frames | {"pictures": measured}, out)
        say(f"tables: {out}")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    parted = [word.partition("=") for word in given or []]
    wrong = [left for left, sign, right in parted if not (left and sign and right)]
    if wrong:
        raise ColourbenchError(f"{option} {wrong[0]}: write it as NAME=VALUE")
    return {left: right for left, _, right in cast(Any, parted)}

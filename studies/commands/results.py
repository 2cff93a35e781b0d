"""Verbs about results: evaluate, report, list runs, MLflow's UI."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from common.colour.metrics import MEASURED, METRICS
from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    check_exists,
    check_run,
    check_study,
    open_home,
    say,
)

if TYPE_CHECKING:
    from analysis.evaluation.splits import Evaluation
    from analysis.figures.drawing import Figure
    from common.data.shards import Dataset


def evaluate(
    run: Annotated[
        str | None,
        typer.Argument(help="A run: its id or the start of it, STUDY/RUN NAME, or champion."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Another data set than the one it was trained on.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of any colouriser's pictures, to be measured against --truth."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Folder of the true photographs, under the same names.")
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="With --images: measure as the code of `ddcolor` or `ct2` does, or `zhang`'s AuC.",
        ),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Resize pictures of another size than their truth.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --images: CSV file for the figures of each picture.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Scores a trained run on a test split, image by image; or any colouriser's pictures in a folder against the truth in another.

    Example: colourbench evaluate 3f2a91c0 --data pets-64

    Example: colourbench evaluate --images their-results --truth val5k

    Example: colourbench evaluate --images their-results --truth val5k --as ddcolor --out theirs.csv
    """
    if images or truth:
        check_folders(run, images, truth, as_)
        if data:
            raise ColourbenchError("--data is for a run; --images and --truth are two folders")
        if out and not out.parent.is_dir():
            raise ColourbenchError(f"--out: there is no folder {out.parent}")
        from studies.commands.folders import evaluate_folders

        evaluate_folders(cast(Path, images), cast(Path, truth), as_, resize, out)
        return
    if run is None:
        raise ColourbenchError(
            "name a run (`colourbench runs` lists them), or two folders: --images and --truth"
        )
    if as_ or resize or out:
        raise ColourbenchError("--as, --resize and --out are for --images and --truth")
    evaluate_run(run, data, home)


def check_folders(
    run: str | None, images: Path | None, truth: Path | None, convention: str | None
) -> None:
    """Checks the options of `evaluate --images`.

    Raises:
        ColourbenchError: one is missing, or they do not go together.
    """
    if run:
        raise ColourbenchError("name a run, or two folders with --images and --truth, not both")
    if not (images and truth):
        raise ColourbenchError("--images and --truth go together: two folders")
    if convention not in (None, "ddcolor", "ct2", "zhang"):
        raise ColourbenchError(f"--as {convention}: choose ddcolor, ct2 or zhang")


def evaluate_run(run: str, data: str | None, home: Path) -> None:
    """Scores a trained run on a test split."""
    check_run(home, run)
    if data:
        open_home(home).check_dataset(data)
    from analysis.evaluation import splits  # imported after the checks that do not need torch
    from studies.runs.model import load_run

    trained_run = open_home(home).store.run(run)
    colouriser, settings = load_run(trained_run)
    name = data or settings.dataset
    dataset = open_home(home).dataset(name)
    _check_images_fit(dataset, colouriser.stride)
    if not data and dataset.fingerprint != trained_run.tags["dataset_sha256"]:
        raise ColourbenchError(
            f"{name} was prepared again since this run was trained; its test split may hold training photographs"
        )
    # another data set numbers its labels differently
    labelled = settings.variant.generator.labels and name == settings.dataset
    device = colouriser.engine.device
    evaluated = splits.evaluate(colouriser, dataset.split("test"), device, labelled=labelled)
    path = trained_run.folder / f"metrics-{name}.csv"
    evaluated.table.to_csv(path, index=False)
    say(f"{trained_run.name} on the test split of {name} ({len(evaluated.table)} images):")
    _say_means(evaluated)
    say(f"image by image: {path}")


def _check_images_fit(dataset: "Dataset", stride: int) -> None:
    size = dataset.config.size
    if size % stride:
        raise ColourbenchError(
            f"{dataset.name} has images of {size} px; this generator takes multiples of {stride} px"
        )


def _say_means(evaluated: "Evaluation") -> None:
    means = evaluated.means()
    for metric in MEASURED:
        missing = sum(not math.isfinite(value) for value in evaluated.table[metric])
        without = f"  without {missing} images whose value is not finite" if missing else ""
        say(f"  {METRICS[metric].label:<38}{means[metric]:10.4f}{without}")


def report(
    study: Annotated[str, typer.Argument(help="A study that was compared.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="html, pdf or md, as often as needed; html by default."),
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(
            "--old",
            help="Folder of old photographs, which the report shows as every arm colours them.",
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes a study's tables (CSV, Markdown, LaTeX), figures (PNG, SVG, PDF) and one self-contained page.

    LPIPS and distances between sets are measured first if their weights are available (`colourbench data weights`).

    Example: colourbench report demo

    Example: colourbench report demo --format html --format pdf --old ~/old-photos
    """
    check_study(home, study)
    check_exists(old)
    # imported after the checks that do not need torch
    from studies.comparisons import reports

    page = reports.report(
        open_home(home),
        study,
        formats or ["html"],
        say,
        lambda name: _old_photographs(home, name, old),
    )
    say(f"report: {page}\ntables and figures: {page.parent}")


def _old_photographs(home: Path, study: str, folder: Path | None) -> "dict[str, Figure]":
    if folder is None:
        return {}
    from studies.use import old_photographs

    figure, remarks = old_photographs.figure(open_home(home), study, folder)
    for remark in remarks:
        say(remark)
    return {"old_photographs": figure}


def runs(
    study: Annotated[str | None, typer.Argument(help="A study; without it, all.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Lists runs with their id, status and test figures.

    Example: colourbench runs demo
    """
    if study:
        check_study(home, study)
    store = open_home(home).store
    for name in [study] if study else store.studies():
        say(f"{name}:")
        for item in store.find(name, {}):
            figures = {
                key: item.metrics.get(f"test/{key}")
                for key in ("delta_e", "psnr_rgb", "colourfulness")
            }
            shown = "  ".join(
                f"{key} {value:.2f}" for key, value in figures.items() if value is not None
            )
            say(f"  {item.id[:8]}  {item.status:<9} {item.name:<40} {shown}")


def ui(
    study: Annotated[
        str | None, typer.Argument(help="Open at this study's or sweep's runs, as charts.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Starts MLflow's own UI on this store at http://127.0.0.1:PORT and keeps it running until Ctrl-C.

    Example: colourbench ui variants --port 5001
    """
    from common.tracking import page_of, ui_command

    store = open_home(home).store
    command = ui_command(store, port)
    place = page_of(store.share_view(study), port) if study else f"http://127.0.0.1:{port}"
    say(f"MLflow's UI: {place} (Ctrl-C ends it)")
    os.execvp(command[0], command)

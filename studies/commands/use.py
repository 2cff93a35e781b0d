"""Verbs that use a trained model: colourise photographs and videos."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    DeviceOption,
    HomeOption,
    RunArgument,
    check_device,
    check_exists,
    check_run,
    open_home,
    say,
)

if TYPE_CHECKING:
    from studies.use.files import Job, Outcome, Output
    from studies.use.models import Model
    from studies.use.prediction import Sight

FORMATS = ("png", "jpeg", "webp", "tiff", "same")


def colourise(
    run: RunArgument,
    photographs: Annotated[list[Path], typer.Argument(help="Photographs, videos, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; a folder's own structure is kept in it.")],
    samples: Annotated[
        int,
        typer.Option(min=0, max=100, help="Versions of each photograph, with dropout as the noise; 0 gives the one best guess."),
    ] = 0,
    label: Annotated[str | None, typer.Option(help="What the photographs show, for a run trained with labels.")] = None,
    hint: Annotated[
        list[str] | None,
        typer.Option(help="A point of known colour, X,Y=#RRGGBB with X and Y in per cent; for a run trained with hints."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}; same: as the photograph.")] = "png",
    saturation: Annotated[float, typer.Option(min=0, max=3, help="Multiplies the predicted colours' strength.")] = 1.0,
    side: Annotated[
        int | None,
        typer.Option("--network-side", min=16, max=4096, help="Shorter side at which the network sees photographs."),
    ] = None,
    side_by_side: Annotated[bool, typer.Option(help="Write grey and coloured beside each other.")] = False,
    metadata: Annotated[str, typer.Option(help="keep or strip the photographs' EXIF (place, camera, date).")] = "keep",
    max_memory_gb: Annotated[float, typer.Option(min=0.1, help="Memory for photographs and activations.")] = 2.0,
    force: Annotated[bool, typer.Option("--force", help="Write results again that exist.")] = False,
    device: DeviceOption = "auto",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Colourises photographs and videos at their own resolution with a trained model.

    What exists already is skipped, so the same command goes on where it was interrupted. The exit status is 1 if a file failed.

    Example: colourbench colourise 3f2a91c0 ~/old-photos --out coloured --samples 8

    Example: colourbench colourise champion portrait.tif --out coloured --hint 40,62=#2f5d9b --format same
    """
    check_exists(*photographs)
    check_run(home, run)
    check_device(device)
    _check_choices(file_format, metadata)
    points = [_hint(text) for text in hint or []]
    from common.colour import hints
    from studies.use import files  # imported after the checks that do not need torch
    from studies.use.models import open_model
    from studies.use.prediction import Sight

    jobs = files.jobs_in(photographs)
    model = open_model(open_home(home), run, device)
    if points and not model.colouriser.takes_hints:
        raise ColourbenchError(f"{model.name} was trained without hints; train one with --set variant.generator.hints=true")
    given = {"label": model.label_number(label)} if label else {}
    sight = Sight(side=side, hints=[hints.from_rgb(*point) for point in points], sample=samples > 0, **given)
    keeps = metadata == "keep"
    output = files.Output(out, file_format, keeps, side_by_side, force, samples, saturation, max_memory_gb)  # type: ignore[arg-type]
    _report(_outcomes(model, jobs, sight, output), len(jobs))


def _outcomes(model: "Model", jobs: list["Job"], sight: "Sight", output: "Output") -> Iterator["Outcome"]:
    from studies.use import files

    yield from files.colourise_photographs(model.colouriser, [job for job in jobs if not job.is_video], sight, output)
    if films := [job for job in jobs if job.is_video]:
        from studies.use import video  # needs PyAV, which photographs do not

        yield from (video.colourise_video(model.colouriser, job, sight, output) for job in films)


def _report(outcomes: Iterator["Outcome"], total: int) -> None:
    from rich.progress import track

    failed = skipped = 0
    for outcome in track(outcomes, "colourising", total, transient=True, disable=not _on_terminal()):
        remarks = f" ({'; '.join(outcome.remarks)})" if outcome.remarks else ""
        if outcome.error:
            say(outcome.error)
        elif outcome.is_skipped:
            say(f"skipped {outcome.job.source}{remarks}")
        else:
            say(f"{outcome.job.source} -> {', '.join(map(str, outcome.written))}{remarks}")
        failed, skipped = failed + bool(outcome.error), skipped + outcome.is_skipped
    if skipped:
        say(f"{skipped} of {total} results were there already")
    if failed:
        raise ColourbenchError(f"{failed} of {total} files could not be coloured")


def _on_terminal() -> bool:
    import sys

    return sys.stderr.isatty() and sys.stdout.isatty()


def _check_choices(file_format: str, metadata: str) -> None:
    if file_format not in FORMATS:
        raise ColourbenchError(f"--format {file_format}: choose {', '.join(FORMATS)}")
    if metadata not in ("keep", "strip"):
        raise ColourbenchError(f"--metadata {metadata}: choose keep or strip")


def _hint(text: str) -> tuple[float, float, str]:
    """Reads X,Y=#RRGGBB."""
    import re

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)%?\s*,\s*(\d+(?:\.\d+)?)%?\s*=\s*(#[0-9a-fA-F]{6})\s*", text)
    if match is None or float(match[1]) > 100 or float(match[2]) > 100:
        raise ColourbenchError(f"--hint {text!r}: write X,Y=#RRGGBB with X and Y from 0 to 100 per cent, such as 40,62=#2f5d9b")
    return float(match[1]) / 100, float(match[2]) / 100, match[3]

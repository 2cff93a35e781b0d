"""Verbs that use a trained model: colourise photographs and videos, export it."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.config import parse
from common.errors import ColourbenchError
from common.system.names import STARTER
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
    with_options_of,
)
from studies.use.settings import ColouriseOptions

if TYPE_CHECKING:
    from studies.use.files import Job, Outcome, Output
    from studies.use.models import Model
    from studies.use.prediction import Sight
    from studies.use.record import Maker


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="[MODEL]",
        help="A run, STUDY/ARM, `champion` or a model file; `starter` if none is named.",
    ),
]
PhotographsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PHOTOGRAPH...", help="Photographs, videos, or folders of them."),
]
ColouriseForceOption = Annotated[
    bool, typer.Option("--force", help="Write results again that exist.")
]


@with_options_of(ColouriseOptions, hints="--hint")
def colourise(
    model: ModelArgument,
    photographs: PhotographsArgument = None,
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for the results; a folder's own structure is kept in it.")
    ],
    force: ColouriseForceOption = False,
    device: DeviceOption = "auto",
    home: HomeOption = DEFAULT_HOME,
    **options: Any,
) -> None:
    """Colourises photographs and videos at their own resolution, with a trained model or with the one that comes with colourbench.

    What exists already is skipped, so the same command goes on where it was interrupted. The exit status is 1 if a file failed.

    Example: colourbench colourise grandmother.jpg --out coloured

    Example: colourbench colourise 3f2a91c0 ~/old-photos --out coloured --samples 8

    Example: colourbench colourise champion portrait.tif --out coloured --hint 40,62=#2f5d9b --format same
    """
    model, photographs = _model_and_photographs(model, photographs or [])
    check_exists(*photographs)
    given = {name: value for name, value in options.items() if value is not None}
    wanted = parse(ColouriseOptions, given, "options")
    check_run(home, model)
    check_device(device)
    from studies.use import files  # imported after the checks that do not need torch
    from studies.use.models import open_model
    from studies.use.record import Record

    record = Record(out)
    jobs = files.jobs_in(photographs, out, record)
    opened = open_model(open_home(home), model, device)
    output = replace(_output(wanted, out, force, jobs), record=record, maker=_maker(opened, wanted))
    _report(_outcomes(opened, jobs, _sight(opened, wanted), output), len(jobs))


def _model_and_photographs(first: str, others: list[Path]) -> tuple[str, list[Path]]:
    """The model and the photographs: a first word that is a photograph or a folder means that no model is named.

    Raises:
        ColourbenchError: no photograph is named.
    """
    is_photograph = Path(first).exists() and not first.endswith(".safetensors")
    if is_photograph:
        return STARTER, [Path(first), *others]
    if not others:
        raise ColourbenchError(
            f"name the photographs to colour; there is no file or folder {first}"
        )
    return first, others


def _sight(model: "Model", wanted: ColouriseOptions) -> "Sight":
    """What the model is told about the photographs.

    Raises:
        ColourbenchError: the model was trained without labels or hints that are given.
    """
    from common.colour import hints
    from studies.use.prediction import Sight

    if wanted.hints and not model.colouriser.takes_hints:
        raise ColourbenchError(
            f"{model.name} was trained without hints; train one with --set variant.generator.hints=true"
        )
    label = model.label_number(wanted.label) if wanted.label else -1
    return Sight(
        wanted.network_side,
        label,
        [hints.from_rgb(*point) for point in wanted.points],
        wanted.samples > 0,
    )


def _outcomes(
    model: "Model", jobs: list["Job"], sight: "Sight", output: "Output"
) -> Iterator["Outcome"]:
    from studies.use import files

    yield from files.colourise_photographs(
        model.colouriser, [job for job in jobs if not job.is_video], sight, output
    )
    if films := [job for job in jobs if job.is_video]:
        from studies.use.video.colouring import colourise_video

        yield from (colourise_video(model.colouriser, job, sight, output) for job in films)


def _maker(model: "Model", wanted: ColouriseOptions) -> "Maker":
    """What decides how a photograph is coloured; the memory and the format of a result do not."""
    from common.system.integrity import file_sha256
    from studies.use.record import Maker

    decides = ("samples", "label", "hints", "saturation", "network_side", "side_by_side")
    settings = wanted.model_dump(mode="json")
    chosen = {name: settings[name] for name in decides}
    return Maker(model.name, file_sha256(model.path), chosen)


def _output(wanted: ColouriseOptions, folder: Path, force: bool, jobs: list["Job"]) -> "Output":
    from studies.use.files import Output

    return Output(
        folder=folder,
        format=wanted.format,
        keeps_metadata=wanted.metadata == "keep",
        side_by_side=wanted.side_by_side,
        force=force,
        samples=wanted.samples,
        saturation=wanted.saturation,
        memory_gb=wanted.max_memory_gb,
        originals=frozenset(job.source.resolve() for job in jobs),
    )


def _report(outcomes: Iterator["Outcome"], total: int) -> None:
    from rich.progress import track

    failed = skipped = 0
    is_seen = sys.stderr.isatty() and sys.stdout.isatty()
    for outcome in track(outcomes, "colourising", total, transient=True, disable=not is_seen):
        remarks = f" ({'; '.join(outcome.remarks)})" if outcome.remarks else ""
        if outcome.error:
            say(outcome.error)
        elif outcome.is_skipped:
            say(f"skipped {outcome.job.source}{remarks}")
        else:
            say(f"{outcome.job.source} -> {', '.join(map(str, outcome.written))}{remarks}")
        failed = failed + bool(outcome.error)
        skipped = skipped + outcome.is_skipped
    if skipped:
        say(f"{skipped} of {total} results were there already")
    if failed:
        raise ColourbenchError(f"{failed} of {total} files could not be coloured")


OutOption = Annotated[Path, typer.Option(help="Folder for the model and its card.")]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format", help="safetensors, onnx or pt2, as often as needed; safetensors by default."
    ),
]
HalfOption = Annotated[
    bool,
    typer.Option("--half", help="Store weights in 16 bits: half of the size (safetensors)."),
]
WithCriticOption = Annotated[
    bool,
    typer.Option("--with-critic", help="Keep the critic too, for fine-tuning (safetensors)."),
]
LicenceOption = Annotated[
    str | None,
    typer.Option(
        help="The model's licence, as an SPDX name such as cc-by-4.0; kept when a file is exported again."
    ),
]
DataLicenceOption = Annotated[
    str, typer.Option(help="The photographs' licence; known for the sources that have one.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace a model and a card that are in the folder.")
]


def export(
    run: RunArgument,
    out: OutOption,
    formats: FormatsOption = None,
    half: HalfOption = False,
    with_critic: WithCriticOption = False,
    licence: LicenceOption = None,
    data_licence: DataLicenceOption = "",
    gallery: Annotated[bool, typer.Option(help="Show test photographs on the card.")] = True,
    force: ForceOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes a trained model for other programs, with a model card.

    The card names data and licence, budget, metrics with intervals and limits, and shows a gallery. Each file is compared
    with the model in torch. `--format onnx` needs more packages: pip install -e ".[export]".

    Example: colourbench export champion --out flowers-model --format safetensors --format onnx
    """
    wanted = _formats(formats or ["safetensors"])
    check_run(home, run)
    from studies.use.export import card  # imported after the checks that do not need torch
    from studies.use.export import formats as writers
    from studies.use.models import open_model

    writers.check_free(out, wanted, run, force)
    model = card.described(
        open_home(home), open_model(open_home(home), run, "cpu"), licence, data_licence
    )
    critic = writers.critic_of(model) if with_critic else {}
    written = {}
    for name in wanted:
        path, difference = writers.write(model, name, out, half)
        written[path.name] = difference
        megabytes = path.stat().st_size / 1e6
        say(f"{path}: {megabytes:.1f} MB, differs by at most {difference:.1e} in ab")
    if critic:
        say(f"{writers.with_critic(model, out, critic)}: now with the critic")
    say(f"card: {card.write(open_home(home), model, out, card.About(written), gallery)}")


def _formats(names: list[str]) -> list[str]:
    """The formats, each once.

    Raises:
        ColourbenchError: one is unknown.
    """
    if unknown := [name for name in names if name not in ("safetensors", "onnx", "pt2")]:
        raise ColourbenchError(f"--format {unknown[0]}: choose safetensors, onnx, pt2")
    return list(dict.fromkeys(names))

"""Verbs about photographs: list, prepare and show data sets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.errors import ColourbenchError
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    SetOption,
    check_exists,
    open_home,
    say,
    valid_name,
)

SizeOption = Annotated[
    int, typer.Option("--size", help="Side in pixels that networks see: 32, 64, 128, 256 or 512.")
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder that holds the source; for `folder` also an archive or a CSV list."
    ),
]
NewNameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of the data set; by default SOURCE-SIZE, or the folder's name and size.",
    ),
]


def list_data(home: HomeOption = DEFAULT_HOME) -> None:
    """Lists the sources of photographs and the prepared data sets.

    Example: colourbench data list
    """
    from common.data.sources.published import SOURCES

    say("Sources:")
    for name, source in SOURCES.items():
        say(f"  {name:<15}{source.about}")
    prepared = open_home(home).datasets()
    say(
        "\nPrepared data sets:"
        if prepared
        else "\nNo data set is prepared yet; see `colourbench data prepare --help`."
    )
    damaged = 0
    for name in prepared:
        try:
            dataset = open_home(home).dataset(name)
            say(f"  {name:<24}{len(dataset.entries):>8} images of {dataset.config.size} px")
        except ColourbenchError as error:
            damaged += 1
            say(f"  {name:<24} damaged: {error}")
    if damaged:
        raise ColourbenchError(f"{damaged} of {len(prepared)} data sets are damaged")


SourceArgument = Annotated[str, typer.Argument(help="A source from `colourbench data list`.")]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Fetch the source first, where it can be fetched.")
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace a data set of the same name without asking.")
]


def prepare(
    source: SourceArgument,
    size: SizeOption = 64,
    root: RootOption = None,
    name: NewNameOption = None,
    download: DownloadOption = False,
    replace: ReplaceOption = False,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Filters a source's photographs and writes them as shards. Removed files are listed with their reasons.

    Example: colourbench data prepare folder --root ~/photos --size 128 --set validation=0.2

    Example: colourbench data prepare folder --root ~/photos.zip --size 64 --name photos
    """
    from rich.progress import Progress

    from common.config import override, parse
    from common.data.sources import published

    _check_size(size)
    files = published.list_files(source, root, download)
    from common.data import preparation  # imported after the checks that do not need torch
    from common.data.manifest import ShardConfig
    from common.data.overview import description

    fields = override({"size": size, "margin": size // 8}, changes or [])
    config = parse(ShardConfig, fields, "--set")
    name = valid_name(name or f"{_source_name(source, root)}-{size}")
    if not replace and name in open_home(home).datasets():
        _ask_to_replace(name)
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(f"preparing {name}", total=len(files))
        dataset = preparation.prepare(
            files, open_home(home).data / name, config, lambda done: bar.advance(task, done), source
        )
    say(f"{name}: {len(files)} files")
    say("\n".join(description(dataset)))
    say(f"written to {dataset.folder}; next: colourbench train cgan --data {name}")


def _source_name(source: str, root: Path | None) -> str:
    from common.data.sources.archives import ENDINGS

    if not root or source != "folder":
        return source
    name = root.resolve().name
    if root.is_dir():
        return name
    endings = (*ENDINGS, ".csv")
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)


def _ask_to_replace(name: str) -> None:
    """Runs that were trained on a data set fit it only while it stays, so its end is asked for.

    Raises:
        ColourbenchError: the answer is no, or there is nobody to ask.
    """
    ways = "--replace replaces it, --name gives the new one another name"
    if not sys.stdin.isatty():
        raise ColourbenchError(
            f"{name} is prepared already, and runs were perhaps trained on it: {ways}"
        )
    if not typer.confirm(
        f"{name} is prepared already. Runs that were trained on it will no longer fit it. Replace it?"
    ):
        raise ColourbenchError(f"{name} stays as it is; {ways}")


def show(
    dataset: Annotated[str, typer.Argument(help="A prepared data set.")],
    check: Annotated[
        bool, typer.Option("--check", help="Also compare every shard with its checksum.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Describes what a data set contains and which files were removed, and draws a contact sheet.

    Example: colourbench data show packaged-64 --check
    """
    open_home(home).check_dataset(dataset)
    from common.data.overview import contact_sheet, description

    opened_dataset = open_home(home).dataset(dataset)
    if check:
        opened_dataset.check()
        say("all checksums are right")
    say("\n".join(description(opened_dataset)))
    say(
        f"contact sheet: {contact_sheet(opened_dataset, opened_dataset.folder / 'contact-sheet.png')}"
    )


def export(
    dataset: Annotated[str, typer.Argument(help="A prepared data set.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    colour: Annotated[
        bool,
        typer.Option("--colour", help="In their colours, instead of grey as networks see them."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes a split's images as PNG files for another program to colour; `images: DIR` makes its results an arm of a study.

    Example: colourbench data export flowers-64 --out to-colour
    """
    open_home(home).check_dataset(dataset)
    if split not in ("train", "validation", "test"):
        raise ColourbenchError(f"--split {split}: choose train, validation or test")
    # imported after the checks that do not need torch
    from studies.comparisons.cells.outside import (
        export as write,
    )

    count = write(open_home(home).dataset(dataset), split, out, not colour)
    say(
        f"{count} images written to {out}; a study takes what was made of them, under the same names, as an arm: {{images: DIR}}"
    )


def weights(
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download what is missing, and check it.")
    ] = False,
    take: Annotated[
        list[Path] | None,
        typer.Option(help="A file that was got elsewhere; it is checked and put in its place."),
    ] = None,
) -> None:
    """Lists the weights that LPIPS, FID and KID need, where they are stored, and whether they are intact.

    timm downloads an encoder's weights when a run sets `pretrained: true`; `backbone_weights: FILE` loads them from a file instead.

    Example: colourbench data weights --fetch

    Example: colourbench data weights --take ~/weights-inception-2015-12-05-6726825d.pth
    """
    check_exists(*(take or []))
    from analysis.metrics.weights import ALL

    for file in take or []:
        by_name = {item.file_name: item for item in ALL}
        if file.name not in by_name:
            raise ColourbenchError(
                f"{file.name} is none of the files that are needed: {', '.join(by_name)}"
            )
        by_name[file.name].take(file)
    missing = 0
    for item in ALL:
        if fetch and not item.is_here():
            say(f"downloading {item.address()}")
            item.fetch()
        missing += not item.is_here()
        state = f"whole, {item.check()}" if item.is_here() else f"missing: {item.remedy}"
        say(f"{item.name} (for {item.used_for}; {item.licence}): {state}")
    if missing:
        say(
            f"\nwithout them reports say which figures are not computed; {missing} of {len(ALL)} are missing"
        )


def _check_size(size: int) -> None:
    if size not in (32, 64, 128, 256, 512):
        raise ColourbenchError(
            f"--size {size}: the networks are made for 32, 64, 128, 256 or 512 pixels"
        )

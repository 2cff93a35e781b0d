"""Verbs about photographs: list, prepare and show data sets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, SetOption, open_home, say, valid_name


def list_data(home: HomeOption = DEFAULT_HOME) -> None:
    """Lists the sources of photographs and the data sets that are prepared.

    Example: colourbench data list
    """
    from common.sources import SOURCES

    say("Sources:")
    for name, source in SOURCES.items():
        say(f"  {name:<15}{source.about}")
    prepared = open_home(home).datasets()
    say("\nPrepared data sets:" if prepared else "\nNo data set is prepared yet; see `colourbench data prepare --help`.")
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


def prepare(
    source: Annotated[str, typer.Argument(help="A source from `colourbench data list`.")],
    size: Annotated[int, typer.Option(help="Side in pixels that networks see: 32, 64, 128, 256 or 512.")] = 64,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the source.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set; by default SOURCE-SIZE, or the folder's name and size.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the source first, where it can be fetched.")] = False,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Filters a source's photographs and writes them as shards. Removed files are listed with their reasons.

    Example: colourbench data prepare folder --root ~/photos --size 128 --set validation=0.2
    """
    from rich.progress import Progress

    from common import sources
    from common.config import override, parse

    _check_size(size)
    files = sources.list_files(source, root, download)
    from common import preparation  # after what can be told without torch
    from common.shards import ShardConfig
    from studies import deliver

    config = parse(ShardConfig, override({"size": size, "margin": size // 8}, changes or []), "--set")
    name = valid_name(name or f"{root.resolve().name if root and source == 'folder' else source}-{size}")
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(f"preparing {name}", total=len(files))
        dataset = preparation.prepare(files, open_home(home).data / name, config, lambda done: bar.advance(task, done))
    say(f"{name}: {len(files)} files")
    deliver.describe_dataset(dataset, say)
    say(f"written to {dataset.folder}; next: colourbench train cgan --data {name}")


def show(
    dataset: Annotated[str, typer.Argument(help="A prepared data set.")],
    check: Annotated[bool, typer.Option("--check", help="Also compare every shard with its checksum.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says what a data set holds and what was removed, and draws a contact sheet.

    Example: colourbench data show packaged-64 --check
    """
    open_home(home).check_dataset(dataset)
    from studies import deliver

    found = open_home(home).dataset(dataset)
    if check:
        found.check()
        say("all checksums are right")
    deliver.describe_dataset(found, say)
    say(f"contact sheet: {deliver.contact_sheet(found, found.folder / 'contact-sheet.png')}")


def _check_size(size: int) -> None:
    if size not in (32, 64, 128, 256, 512):
        raise ColourbenchError(f"--size {size}: the networks are made for 32, 64, 128, 256 or 512 pixels")

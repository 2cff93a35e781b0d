"""The verb that serves trained models on a page."""

from typing import Annotated

import typer

from common.system.names import STARTER
from studies.commands.options import (
    DEFAULT_HOME,
    DeviceOption,
    HomeOption,
    check_device,
    check_run,
    open_home,
    say,
)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Runs or model files, named as for `colourise`; `starter` if none is named.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; other machines reach the page only if you change it."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")
    ] = 8000,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name", help="A host name under which people reach the page, such as behind a proxy."
        ),
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(help="Millions of pixels that a photograph may have.")
    ] = 25.0,
    max_megabytes: Annotated[
        float, typer.Option(help="Millions of bytes that a photograph's file may have.")
    ] = 20.0,
    queue: Annotated[
        int,
        typer.Option(
            help="Photographs that may wait while one is coloured; others are asked to come again."
        ),
    ] = 8,
    rate: Annotated[
        int, typer.Option(help="Photographs that one address may send in a minute.")
    ] = 120,
    device: DeviceOption = "auto",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Serves trained models on a page where people drop photographs, compare the models' colours, give hints, and download.

    Photographs stay in memory while they are coloured and are not kept. Programs can use the page too: see /openapi.json.

    Example: colourbench serve champion "variants/cgan seed 0"

    Example: colourbench serve portraits.safetensors --host 0.0.0.0 --name photos.example.org
    """
    models = models or [STARTER]
    for model in models:
        check_run(home, model)
    check_device(device)
    from studies.pages.colourise.settings import ServeSettings, hosts_for

    settings = ServeSettings(
        max_megapixels, max_megabytes, queue, rate, hosts_for(host, tuple(name or ()))
    )
    from studies.pages.colourise import server  # torch takes seconds to import
    from studies.use.models import open_model

    server.serve(
        [open_model(open_home(home), model, device) for model in models], settings, host, port, say
    )

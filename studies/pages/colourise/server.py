"""Serves models on a page until it is told to end."""

from collections.abc import Callable, Sequence

from studies.pages.colourise.app import by_name, make_app
from studies.pages.colourise.settings import LOCAL, ServeSettings
from studies.pages.colourise.work import Work
from studies.pages.serving import address, listening, run
from studies.use.models import Model


def serve(
    models: Sequence[Model],
    settings: ServeSettings,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serves the page.

    Raises:
        ColourbenchError: the address cannot be listened on.
    """
    with listening(host, port) as listener, Work(settings) as work:
        app = make_app(models, settings, work)
        # a proxy may say who the visitor is, if the page is known by another name at all
        behind_proxy = not set(settings.hosts) <= {host, *LOCAL}
        say(f"{', '.join(by_name(models))}: {address(listener, host)} (Ctrl-C ends the page)")
        run(app, listener, behind_proxy=behind_proxy)

"""Runs the human study's page until it is told to end."""

from collections.abc import Callable

from studies.pages.ratings.app import admin_key, make_app
from studies.pages.ratings.sessions import Sessions
from studies.pages.ratings.settings import PageSettings
from studies.pages.serving import address, listening, run
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy


def serve(
    study: RatingStudy,
    store: ResponseStore,
    settings: PageSettings,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serves the page.

    Raises:
        ColourbenchError: the address cannot be listened on.
    """
    study.key.schedule.check()
    _ = study.pictures  # read and checked before anybody comes
    sessions = Sessions(study, store, settings)
    settings.keep(study.folder)
    sessions.settings.keep_consent(study.folder)
    design = study.key.design
    exposure = f"{design.exposure_ms} ms" if design.exposure_ms else "no limit"
    block = f"{design.trials} trials a block, {design.practice} for practice, {exposure}"
    try:
        with listening(host, port) as listener:
            shown = address(listener, host)
            say(f"{study.key.study}, {design.test}, {block}: {shown}")
            say(f"yours alone, live counts: {shown}admin#{admin_key(sessions)}")
            say(f"answers: {study.folder} (Ctrl-C ends the page; nothing is lost)")
            run(make_app(sessions), listener, behind_proxy=True)
    finally:
        store.close()

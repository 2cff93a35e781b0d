"""Runs the page until it is told to end."""

from collections.abc import Callable

import uvicorn

from analysis.ratings.page.app import admin_key, make_app
from analysis.ratings.page.sessions import Sessions
from analysis.ratings.page.settings import PageSettings
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy
from common.errors import ColourbenchError


def serve(
    study: RatingStudy, store: ResponseStore, settings: PageSettings, host: str, port: int, say: Callable[[str], None]
) -> None:
    """Serves the page. No log of requests is kept, for it would hold raters' addresses.

    Raises:
        ColourbenchError: the address cannot be listened on.
    """
    study.key.schedule.check()
    _ = study.pictures  # read and checked before anybody comes
    sessions = Sessions(study, store, settings)
    config = uvicorn.Config(make_app(sessions), host, port, log_level="error", access_log=False, server_header=False)
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    shown, design = f"http://{name}:{port}", study.key.design
    exposure = f"{design.exposure_ms} ms" if design.exposure_ms else "no limit"
    say(f"{study.key.study}, {design.test}, {design.trials} trials a block, {design.practice} for practice, {exposure}: {shown}/")
    say(f"yours alone, live counts: {shown}/admin#{admin_key(sessions)}")
    say(f"answers: {study.folder} (Ctrl-C ends the page; nothing is lost)")
    try:
        uvicorn.Server(config).run()
    except SystemExit:
        raise ColourbenchError(f"{host}:{port} cannot be listened on; choose another --port") from None
    finally:
        store.close()

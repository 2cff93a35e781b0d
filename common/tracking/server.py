"""Servers of a store: the one that MLflow's UI is, and whether a database or a tracking server answers."""

import sys
from typing import TYPE_CHECKING
from urllib.request import urlopen

from common.errors import ColourbenchError

if TYPE_CHECKING:
    from common.tracking.store import Store

SERVER_SECONDS = 5.0  # until a tracking server must answer


def ui_command(store: "Store", port: int) -> list[str]:
    """The command that serves MLflow's UI on a store, on this machine only."""
    uri = store.uri
    if "://" in uri and uri.startswith("http"):
        raise ColourbenchError(
            f"the runs are on a server already: open {redacted(uri)} in a browser"
        )
    artifacts = (store.home / "artifacts").as_uri()
    served = ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *served,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]


def check_answers(uri: str) -> None:
    """Tries to connect to a store, and raises its error: MLflow would retry for 100 seconds before it reports one."""
    if uri.startswith("http"):
        with urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_SECONDS):
            return
    if uri.startswith(("sqlite", "file", "/")) or "://" not in uri:
        return
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def redacted(uri: str) -> str:
    """A URI without its password."""
    scheme, separator, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:…@{host}" if at else uri

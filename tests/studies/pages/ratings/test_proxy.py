"""The page behind nginx, with the lines that the documentation gives."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from analysis.people.design import Design
from studies.people.study import RatingStudy

pytestmark = pytest.mark.integration
DOCS = Path(__file__).resolve().parents[4] / "docs" / "people.md"
NAME = "raters.example"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
CONFIG = """
daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; server_name {name}; {location} }}
}}
"""


def documented() -> str:
    (location,) = re.findall(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return str(location)


@contextmanager
def proxy(folder: Path, port: int, location: str) -> Iterator[str]:
    """nginx in front of the page, until the block ends; gives its address."""
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, name=NAME, location=location))
    process = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(config)])
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": NAME})
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(not NGINX, reason="nginx is not installed (Debian: nginx-light)")
def test_a_session_through_nginx(
    tmp_path: Path, make_study: Callable[..., RatingStudy], server: Any
) -> None:
    study = make_study(Design("opinion", 0, 8), sheets=False)
    page = server.free_port()
    location = documented().replace("127.0.0.1:8000", f"127.0.0.1:{page}")
    rewritten = location.replace("proxy_set_header Host $http_host;", "")
    assert location != documented() and rewritten != location
    browser = {"Host": NAME, "Origin": f"http://{NAME}"}
    with server.served(study, page, names=[NAME]):
        with (
            proxy(tmp_path / "kept", server.free_port(), location) as address,
            httpx.Client(base_url=address, headers=browser) as client,
        ):
            consent = client.get("/state").json()["version"]
            begun = client.post("/begin", json={"consent": consent})
            assert begun.status_code == 200 and begun.json()["stage"] == "screen"
        with proxy(tmp_path / "rewritten", server.free_port(), rewritten) as address:
            refused = httpx.post(f"{address}/begin", json={"consent": consent}, headers=browser)
            assert refused.status_code == 403 and "a proxy changed the Host" in refused.text

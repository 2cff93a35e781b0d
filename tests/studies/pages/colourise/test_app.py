"""The page without a browser: colours, every limit, what is refused, and that nothing of what was sent comes back or stays."""

import asyncio
import io
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request

from common.colour import hints
from common.data.decoding import images
from common.errors import ColourbenchError
from studies.commands.serve import serve
from studies.pages import serving
from studies.pages.colourise import app, server, work
from studies.pages.colourise.settings import LOCAL, ServeSettings, hosts_for
from studies.use.models import Model
from studies.use.prediction import Sight, colour
from variants.players.colouriser import Colouriser

MakePage = Callable[..., Any]
MakeFile = Callable[..., bytes]
SECRET = "Elm Street 12"


class TestColours:
    def test_the_page_colours_as_the_command_does(
        self, page: Any, photo: bytes, vivid: Colouriser
    ) -> None:
        rgb = images.decode(photo).rgb
        assert np.array_equal(page.colours(photo), colour(vivid, rgb, Sight()))
        assert np.array_equal(page.colours(photo, saturation=0.5), colour(vivid, rgb, Sight(), 0.5))
        assert np.ptp(page.colours(photo, saturation=0), axis=2).max() <= 1

    def test_hints_have_an_effect_where_they_are(
        self, page: Any, models: list[Model], photo: bytes
    ) -> None:
        plain, told = (
            page.colours(photo, "hinted", hint=given) for given in ([], ["0.25,0.5,D02020"])
        )
        changed = np.abs(told - plain).mean(axis=2)
        assert changed[20:28, 12:20].mean() > 1
        points = [hints.from_rgb(0.25, 0.5, "D02020")]
        assert np.array_equal(
            told, colour(models[1].colouriser, images.decode(photo).rgb, Sight(hints=points))
        )

    def test_labels_have_an_effect(self, page: Any, photo: bytes) -> None:
        field, sea, unsaid = (
            page.colours(photo, "labelled", label=label) for label in ("field", "sea", "")
        )
        assert not np.array_equal(field, sea) and not np.array_equal(sea, unsaid)

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    def test_no_format_carries_anything_of_the_original(
        self, kind: str, page: Any, make_photograph: Any, make_file: MakeFile
    ) -> None:
        exif = Image.Exif()
        exif[0x010E] = exif[0x013B] = SECRET  # description and artist
        file = make_file(make_photograph(1), "JPEG", exif=exif.tobytes(), comment=SECRET.encode())
        assert file.count(SECRET.encode()) == 3
        reply = page.send(file, format=kind, headers={"content-type": "image/jpeg"})
        assert reply.status_code == 200 and reply.headers["content-type"] == f"image/{kind}"
        assert SECRET.encode() not in reply.content and SECRET not in str(reply.headers)
        with Image.open(io.BytesIO(reply.content)) as image:
            assert image.format == kind.upper() and image.size == (96, 80)

    def test_the_content_decides_and_not_the_header(self, page: Any, photo: bytes) -> None:
        for kind in ("image/jpeg", "image/tiff", "application/octet-stream", "IMAGE/PNG; x=y"):
            assert page.send(photo, headers={"content-type": kind}).status_code == 200

    def test_models_are_listed_with_what_they_take(self, page: Any) -> None:
        offer = page.client.get("/models").json()
        assert [(one["name"], one["labels"], one["takes_hints"]) for one in offer["models"]] == [
            ("plain", [], False),
            ("hinted", [], True),
            ("labelled", ["field", "sea"], False),
        ]
        assert (offer["most_bytes"], offer["most_pixels"], offer["models"][0]["side"]) == (
            20_000_000,
            25_000_000,
            32,
        )

    def test_models_of_the_same_name_are_told_apart(self, models: list[Model]) -> None:
        assert list(app.by_name([models[0], models[0], models[1], models[0]])) == [
            "plain",
            "plain (2)",
            "hinted",
            "plain (3)",
        ]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"model": "<b>"}, "no model of this name"),
            ({"label": "<b>", "model": "labelled"}, "does not know this label"),
            ({"label": "sea"}, "does not know this label"),
            ({"hint": "0.1,0.1,ff0000"}, "takes no hints"),
            ({"hint": "0.1,0.1,<b>", "model": "hinted"}, "another hint"),
            ({"hint": "1.1,0.1,ff0000", "model": "hinted"}, "another hint"),
            ({"hint": ["0,0,ff0000"] * (hints.MOST + 1), "model": "hinted"}, "another hint"),
            ({"saturation": "nan"}, "another saturation"),
            ({"saturation": "-1"}, "another saturation"),
            ({"format": "<b>"}, "another format"),
            ({"<b>": "1"}, "parameter that is not known"),
        ],
    )
    def test_wrong_parameters_are_named_and_not_repeated(
        self, asked: dict[str, Any], reason: str, page: Any, photo: bytes
    ) -> None:
        reply = page.send(photo, **{"model": "plain", **asked})
        assert reply.status_code == 422 and list(reply.json()) == ["error"]
        assert reason in reply.json()["error"] and "<b>" not in reply.text

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            *(
                ({"content-type": kind}, 415)
                for kind in (
                    "text/plain",
                    "multipart/form-data",
                    "application/json",
                    "image/svg+xml",
                    "",
                )
            ),
            ({"content-length": "many"}, 413),
            ({"content-length": "20000001"}, 413),
        ],
    )
    def test_what_the_guard_refuses(
        self, headers: dict[str, str], status: int, page: Any, photo: bytes
    ) -> None:
        reply = page.send(photo, headers={"content-type": "image/png", **headers})
        assert (
            reply.status_code == status
            and list(reply.json()) == ["error"]
            and "evil" not in reply.text
        )

    def test_files_that_are_no_photographs(self, page: Any, photo: bytes) -> None:
        for data, reason in (
            (b"", "empty"),
            (SECRET.encode(), "not a JPEG"),
            (photo[:300], "damaged"),
        ):
            reply = page.send(data)
            assert (
                reply.status_code == 422
                and reason in reply.json()["error"]
                and SECRET not in reply.text
            )

    def test_shapes_that_cannot_be(self, page: Any, make_file: MakeFile) -> None:
        thin, long = np.zeros((400, 10, 3), np.uint8), np.zeros((16_400, 830, 3), np.uint8)
        assert "20 times" in page.send(make_file(thin)).json()["error"]
        reply = page.send(make_file(long, compress_level=1), format="webp")
        assert reply.status_code == 422 and "at most 16383 pixels" in reply.json()["error"]

    def test_addresses_that_are_not_there(self, page: Any) -> None:
        for address in (
            "/none",
            "/docs",
            "/redoc",
            "/static/page.js",
            "/..%2fapp.py",
            "/page.js/../../app.py",
        ):
            reply = page.client.get(address)
            assert reply.status_code == 404 and reply.json() == {"error": "there is no such page"}
        assert (
            page.client.get("/colourise").status_code == 405
            and page.client.put("/models").status_code == 405
        )

    def test_every_reply_carries_the_headers(self, page: Any, photo: bytes) -> None:
        replies = [
            page.client.get(address)
            for address in ("/", "/page.js", "/page.css", "/models", "/openapi.json", "/none")
        ]
        for reply in (
            *replies,
            page.send(photo),
            page.send(b"no"),
            page.send(photo, headers={"host": "x"}),
        ):
            policy = reply.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "blob:" in policy and "unsafe" not in policy
            assert (
                reply.headers["x-content-type-options"] == "nosniff"
                and reply.headers["x-frame-options"] == "DENY"
            )
            assert reply.headers["cache-control"] == "no-store" and "server" not in reply.headers

    def test_the_page_names_no_other_host_and_has_no_code_inside(self, page: Any) -> None:
        for address in ("/", "/page.js", "/page.css"):
            assert not re.findall(
                r"https?:|src=.//|url\(|\son\w+=|\sstyle=", page.client.get(address).text
            )
        assert (
            "<script>" not in page.client.get("/").text
            and "<style" not in page.client.get("/").text
        )

    def test_an_error_of_ours_tells_nothing(
        self, page: Any, photo: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work, "colour", lambda *_: dict[str, bytes]()[SECRET])
        page.client._transport.raise_server_exceptions = False
        reply = page.send(photo)
        assert (
            reply.status_code == 500
            and SECRET not in reply.text
            and "default-src" in reply.headers["content-security-policy"]
        )
        monkeypatch.undo()
        assert page.send(photo).status_code == 200


class TestLimits:
    def test_bytes(self, make_page: MakePage, make_photograph: Any, make_file: MakeFile) -> None:
        page = make_page(max_megabytes=0.01)
        large = make_file(make_photograph(0, (100, 100)))
        assert len(large) > 10_000 and page.send(large).status_code == 413

        def parts() -> Any:  # a body without a length
            for start in range(0, len(large), 1000):
                yield large[start : start + 1000]

        reply = page.send(parts())
        assert reply.status_code == 413 and "0.01 MB" in reply.json()["error"]

    def test_pixels(
        self, make_page: MakePage, photo: bytes, make_photograph: Any, make_file: MakeFile
    ) -> None:
        page = make_page(max_megapixels=0.004)
        assert page.send(photo).status_code == 200
        assert (
            "65x64 pixels are more than 0.004 million"
            in page.send(make_file(make_photograph(0, (64, 65)))).json()["error"]
        )

    def test_decompression_bombs(self, page: Any) -> None:
        wide = png(50_000, 50_000, zlib.compress(bytes(10**6)))
        text = png(
            8, 8, zlib.compress(bytes(8 * 25)), b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))
        )
        began = time.process_time()
        for bomb in (wide, text):
            assert len(bomb) < 10**6 and page.send(bomb).status_code == 422
        # seconds of a processor, whatever runs beside it; 0.2 alone
        assert time.process_time() - began < 20

    def test_all_places_taken(self, make_page: MakePage, photo: bytes) -> None:
        page = make_page(queue=1)
        with page.work.place("1.2.3.4"):
            assert page.send(photo).status_code == 200
            with page.work.place("1.2.3.5"):
                reply = page.send(photo)
                assert (
                    reply.status_code == 503
                    and int(reply.headers["retry-after"]) > 0
                    and "waiting" in reply.json()["error"]
                )
        for _ in range(4):  # whatever the end of a request, its place is free again
            assert [page.send(data).status_code for data in (photo, b"no", b"")] == [200, 422, 422]

    def test_one_address_gets_half_of_the_places(self, make_page: MakePage, photo: bytes) -> None:
        page = make_page(queue=3)
        with page.work.place("2001:db8::1"), page.work.place("2001:db8::2"):
            with pytest.raises(work.Later), page.work.place("2001:db8::3"):
                pass
            assert page.send(photo).status_code == 200  # there is room for others
        with page.work.place("2001:db8::3"):
            assert not any(address != "2001:db8::" for address in page.work._held)

    def test_rate(self, make_page: MakePage, photo: bytes) -> None:
        page = make_page(rate=3)
        replies = [page.send(data) for data in (photo, b"no", photo, photo)]
        assert [reply.status_code for reply in replies] == [200, 422, 200, 429]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
        assert page.client.get("/models").status_code == 200  # only photographs count

    def test_rate_is_that_of_any_minute(self) -> None:
        now = [0.0]
        rate = work.Rate(2, lambda: now[0])
        for seconds, client, allowed in (
            *(
                (0, "1.2.3.4", True),
                (50, "1.2.3.4", True),
                (59, "1.2.3.4", False),
                (59, "1.2.3.5", True),
            ),
            *((60, "1.2.3.4", True), (61, "1.2.3.4", False), (110, "1.2.3.4", True)),
            *(
                (120, "2001:db8::1", True),
                (120, "2001:db8::2", True),
                (120, "2001:db8::3", False),
                (120, "2001:db8:0:1::1", True),
            ),
        ):
            now[0] = float(seconds)
            if allowed:
                rate.check(client)
            else:
                with pytest.raises(work.Later, match="a minute; try again in"):
                    rate.check(client)

    def test_rate_remembers_a_bounded_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(work, "MOST_CLIENTS", 100)
        rate = work.Rate(1, lambda: 0.0)
        for number in range(500):
            rate.check(f"client {number}")
        assert len(rate._times) <= 101
        with pytest.raises(work.Later):
            rate.check("client 499")

    def test_whoever_sends_slowly_keeps_no_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(app, "UPLOAD_SECONDS", 0.05)

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        with pytest.raises(HTTPException, match="did not arrive"):
            asyncio.run(app._body(Request({"type": "http"}, receive), 100))

    def test_an_order_that_nobody_waits_for_is_dropped(
        self, page: Any, models: list[Model], photo: bytes
    ) -> None:
        until = threading.Event()
        page.work._thread.submit(until.wait)
        order = work.Order(models[0], Sight(), 1.0, "png")
        left, kept = page.work.begin(order, photo), page.work.begin(order, photo)

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        with pytest.raises(HTTPException, match="closed"):
            asyncio.run(app._picture(Request({"type": "http"}, receive), left))
        until.set()
        assert kept.result(30).startswith(b"\x89PNG") and left.cancelled()


def test_awkward_files_end_in_a_picture_or_a_sentence(corpora: Path, page: Any) -> None:
    statuses = {}
    for path in sorted(corpora.rglob("*.*")):
        reply = page.send(
            path.read_bytes(), format="jpeg", headers={"content-type": "application/octet-stream"}
        )
        statuses[path] = reply.status_code
        assert reply.status_code == 200 or (reply.status_code == 422 and reply.json()["error"]), (
            path
        )
    broken = {path.name for path, status in statuses.items() if status == 422}
    assert (
        len(statuses) > 150
        and len(broken) < 30
        and all(name.startswith("x") or name == "LICENSE" for name in broken)
    ), broken


def test_settings_that_cannot_be_name_their_option() -> None:
    for field, value, option in (
        *(
            ("max_megapixels", 0.0, "--max-megapixels"),
            ("max_megabytes", float("nan"), "--max-megabytes"),
        ),
        *(
            ("queue", -1, "--queue"),
            ("rate", 0, "--rate"),
            ("hosts", ("http://a.example",), "--name"),
        ),
    ):
        with pytest.raises(ColourbenchError, match=option):
            ServeSettings(**{field: value})  # type: ignore[arg-type]
    assert hosts_for("0.0.0.0", ()) == ("*",) and hosts_for("::1", ("a.example",)) == (
        "[::1]",
        "a.example",
        *LOCAL,
    )


def test_a_port_that_is_taken_and_a_model_that_is_not_there(
    tmp_path: Path, models: list[Model]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ColourbenchError, match="cannot be listened on"),
    ):
        server.serve(models, ServeSettings(), "127.0.0.1", taken.getsockname()[1], print)
    with pytest.raises(ColourbenchError, match="cannot be listened on"):
        serving.listening("no such host", 0)
    with pytest.raises(ColourbenchError, match="there is no file"):
        serve([str(tmp_path / "none.safetensors")], home=tmp_path)


def png(
    width: int, height: int, data: bytes, kind: bytes = b"tEXt", text: bytes = b"a\0b"
) -> bytes:
    """A PNG file with this compressed data, whatever its header says, and one more chunk."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (kind, text), (b"IDAT", data), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)

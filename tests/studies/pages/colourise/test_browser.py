"""The page in a real Chromium, on a desk and on a phone: photographs dropped, compared, hinted, downloaded, refused, and waiting."""

import base64
import io
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.integration
SIZES = {"desk": {"width": 1400, "height": 900}, "phone": {"width": 360, "height": 740}}
PATIENCE = 60.0  # seconds
DROP = """files => {
  const all = new DataTransfer();
  for (const { name, type, data, zeros } of files) {
    const content = zeros ? new Uint8Array(zeros) : Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    all.items.add(new File([content], name, { type }));
  }
  return all;
}"""
UNNAMED = """() => [...document.querySelectorAll('button, input, select, img, a')]
  .filter(e => !(e.innerText || e.alt || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML)"""


class Person:
    """Somebody in front of a browser, and what the browser asked for and complained about."""

    def __init__(self, browser: "Browser", address: str, size: str = "desk") -> None:
        self.touch, self.address = size == "phone", address
        colours: Any = "dark" if self.touch else "light"
        viewport: Any = SIZES[size]
        self.context = browser.new_context(
            viewport=viewport, has_touch=self.touch, color_scheme=colours
        )
        self.page: Any = self.context.new_page()
        self.asked: set[str] = set()
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.problems.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        self.page.goto(address)
        self.page.wait_for_selector("#limits:not(:empty)")

    def drop(self, files: dict[str, bytes | int]) -> None:
        """Drops files with this content, or with so many zeros."""
        sent: list[dict[str, Any]] = [{"name": name, "type": "image/png"} for name in files]
        for file, data in zip(sent, files.values(), strict=True):
            file |= (
                {"zeros": data}
                if isinstance(data, int)
                else {"data": base64.b64encode(data).decode()}
            )
        self.page.dispatch_event(
            "#drop", "drop", {"dataTransfer": self.page.evaluate_handle(DROP, sent)}
        )

    def wait(self, selector: str, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.page.locator(selector).count() != count:
            assert time.monotonic() < deadline, self.page.locator(".state").all_inner_texts()
            self.page.wait_for_timeout(20)

    def again(self, act: Callable[[], Any], card: str) -> None:
        """Does something that colours this card again, and waits until it is done."""
        before = self.page.locator(f"{card} .after").get_attribute("src")
        act()
        deadline = time.monotonic() + PATIENCE
        while self.page.locator(f"{card} .after").get_attribute("src") == before:
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(20)
        self.wait(f"{card}.done", 1)

    def download(self, card: str, folder: Path) -> tuple[str, np.ndarray]:
        with self.page.expect_download() as download:
            self.page.locator(f"{card} .download").click()
        download.value.save_as(folder / "it")
        with Image.open(folder / "it") as image:
            return download.value.suggested_filename, np.asarray(image.convert("RGB")).astype(int)


FIRST = "section.photo:first-child article:nth-child({})"


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_whole_session(
    size: str,
    browser: "Browser",
    address: str,
    tmp_path: Path,
    make_photograph: Any,
    make_file: Callable[..., bytes],
) -> None:
    person = Person(browser, address, size)
    page = person.page
    hinted, labelled = FIRST.format(1), FIRST.format(2)
    assert page.locator("#empty").is_visible()
    person.drop(
        {
            "portrait.png": make_file(make_photograph(0, (160, 120))),
            "sea.png": make_file(make_photograph(1, (120, 180))),
        }
    )
    person.wait("article.done", 4)
    assert not page.locator("#empty").is_visible() and page.locator("h2").all_inner_texts() == [
        "portrait.png",
        "sea.png",
    ]

    page.locator(f"{hinted} .split").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator(".photo:first-child .split").evaluate_all(
        "all => all.map(e => e.value)"
    ) == ["40", "40"]
    assert "40%" in page.locator(f"{labelled} .after").evaluate("e => getComputedStyle(e).clipPath")
    assert "grayscale(1)" in page.locator(f"{hinted} .before").evaluate(
        "e => getComputedStyle(e).filter"
    )

    _, plain = person.download(hinted, tmp_path)
    stage = page.locator(f"{hinted} .stage")
    person.again(
        lambda: (stage.tap if person.touch else stage.click)(position={"x": 40, "y": 50}), hinted
    )
    assert (
        page.locator(".photo:first-child .points li").count()
        == page.locator(f"{hinted} .marks span").count()
        == 1
    )
    name, told = person.download(hinted, tmp_path)
    assert (
        name == "portrait - hinted.png"
        and told.shape == (160, 120, 3)
        and not np.array_equal(told, plain)
    )
    page.locator(".photo:first-child .y").fill("75")
    # a hint without a pointer
    person.again(lambda: page.locator(".photo:first-child .y").press("Enter"), hinted)
    for left in (1, 0):
        person.again(lambda: page.locator(".photo:first-child .take").first.press("Enter"), hinted)
        assert page.locator(".photo:first-child .points li").count() == left
    assert np.array_equal(person.download(hinted, tmp_path)[1], plain)

    person.again(lambda: page.locator(f"{labelled} .label").select_option("sea"), labelled)
    person.again(lambda: page.locator(".photo:first-child .saturation").press("Home"), labelled)
    assert np.ptp(person.download(labelled, tmp_path)[1], axis=2).max() <= 1
    person.again(lambda: page.locator(".photo:first-child .format").select_option("jpeg"), labelled)
    assert person.download(labelled, tmp_path)[0] == "portrait - labelled.jpg"

    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    page.locator(".photo:first-child .remove").click()
    assert page.locator("h2").all_inner_texts() == ["sea.png"]
    assert person.asked - {""} == {urlsplit(address).netloc} and person.problems == []
    person.context.close()


def test_a_drag_moves_the_line_and_gives_no_hint(
    browser: "Browser", address: str, photo: bytes
) -> None:
    person = Person(browser, address)
    person.drop({"a.png": photo})
    person.wait("article.done", 2)
    box = person.page.locator(f"{FIRST.format(1)} .stage").bounding_box()
    y = box["y"] + 20
    person.page.mouse.move(box["x"] + 100, y)
    person.page.mouse.down()
    person.page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=5)
    person.page.mouse.up()
    values = person.page.locator(".split").evaluate_all("all => all.map(e => Number(e.value))")
    assert values == [80, 80] and person.page.locator(".points li").count() == 0
    person.context.close()


def test_every_control_shows_that_it_has_the_focus(
    browser: "Browser", address: str, photo: bytes
) -> None:
    person = Person(browser, address)
    person.drop({"a.png": photo})
    person.wait("article.done", 2)
    seen = []
    outline = "e => getComputedStyle(e.id === 'files' ? document.querySelector('.drop .button') : e).outlineStyle"
    for _ in range(13):
        person.page.keyboard.press("Tab")
        focused = person.page.locator(":focus")
        seen.append(focused.evaluate("e => e.className || e.id"))
        assert focused.evaluate(outline) == "solid", seen
    assert {"unseen", "split", "saturation", "format", "colour", "x", "y"} <= set(seen)
    person.context.close()


def test_reasons_are_told_and_the_others_go_on(
    browser: "Browser", address: str, photo: bytes, make_file: Callable[..., bytes]
) -> None:
    person = Person(browser, address)
    pixels = np.asarray(Image.open(io.BytesIO(photo)))
    files: dict[str, bytes | int] = {
        "broken.png": b"no",
        "large.png": 20_100_000,
        "scan.tif": make_file(pixels, "TIFF"),
        "good.png": photo,
    }
    person.drop(files)
    person.wait("article.done", 4)
    person.wait("article.failed", 4)
    texts = person.page.locator(".failed .state").all_inner_texts()
    assert "Not a JPEG" in texts[0] and "It has 20.1 MB, and this server takes 20 MB" in texts[2]
    assert (
        person.page.locator(".failed .again").first.is_visible()
        and not person.page.locator(".failed .download").first.is_visible()
    )
    shown = person.page.locator(".photo:nth-child(3) .before").evaluate_all(
        "all => all.map(e => e.naturalWidth)"
    )
    assert shown == [64, 64]  # the browser cannot read TIFF, and yet there is a picture
    person.page.locator(".failed .again").first.click()
    person.wait("article.failed", 4)
    person.context.close()


def test_a_server_without_a_free_place_is_waited_for(
    browser: "Browser", address: str, make_photograph: Any, make_file: Callable[..., bytes]
) -> None:
    """Its refusal reaches a browser that is still sending; when there is a place, the photograph is coloured."""
    large = make_file(make_photograph(0, (1300, 1300)), "BMP")
    person = Person(browser, address)
    parts = urlsplit(address)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as slow:
        head = f"POST /colourise?model=hinted HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
        slow.sendall(head.encode() + b"begun")
        time.sleep(0.3)
        person.drop({"large.bmp": large})
        person.page.get_by_text("Too many photographs are waiting").wait_for(
            timeout=PATIENCE * 1000
        )
        assert person.page.locator("article.waiting").count() == 2
    person.wait("article.done", 2)
    person.context.close()

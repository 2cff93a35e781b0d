"""Files that hold a decoder up, or kill it, are named; the others go on, in order."""

import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.decoding import cutting, images
from common.data.decoding.confined import Limits
from common.data.decoding.cutting import Cut, Cutting
from common.data.decoding.examiners import Examiners
from common.data.decoding.images import BadImage, decode

HOW = Cutting(tile=None, side=16)


def progressive(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", progressive=True, quality=30)
    data = buffer.getvalue()
    start, end = data.rindex(images.SCAN), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * (scans - data.count(images.SCAN)) + data[end:]


def photographs(folder: Path, count: int) -> list[Path]:
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:02d}.png")
    return sorted(folder.glob("*.png"))


def test_what_comes_back_is_in_order_and_what_cutting_gives(tmp_path: Path) -> None:
    files = photographs(tmp_path, 40)
    with Examiners(HOW, count=2) as team:
        results = list(team.examine(files))
    for path, one in zip(files, results, strict=True):
        cut_here = cutting.cut(path, HOW)
        assert isinstance(one, Cut) and one.content_hash == cut_here.content_hash
        assert np.array_equal(one.squares[0], cut_here.squares[0]) and np.array_equal(
            one.small, cut_here.small
        )


def test_a_file_that_takes_too_long_ends_its_examiner_and_no_other_file(tmp_path: Path) -> None:
    files = photographs(tmp_path, 6)
    # within the limit on scans
    (tmp_path / "03-endless.jpg").write_bytes(progressive(1000, 350))
    files.insert(3, tmp_path / "03-endless.jpg")
    with Examiners(HOW, count=1, limits=Limits(seconds=0.2)) as team:
        results = list(team.examine(files))
    assert [isinstance(one, Cut) for one in results] == [True] * 3 + [False] + [True] * 3
    assert "seconds of processor time" in str(results[3])


def test_a_file_that_takes_too_much_memory_is_named(tmp_path: Path) -> None:
    files = photographs(tmp_path, 2)
    Image.new("RGB", (4900, 4900)).save(tmp_path / "large.png")
    with Examiners(HOW, count=1, limits=Limits(memory=2**26)) as team:
        results = list(team.examine([*files, tmp_path / "large.png", files[0]]))
    assert [isinstance(one, Cut) for one in results] == [
        True,
        True,
        False,
        True,
    ] and "memory" in str(results[2])


def test_an_examiner_that_is_killed_is_replaced(tmp_path: Path) -> None:
    files = photographs(tmp_path, 30)
    with Examiners(HOW, count=1) as team:
        pieces = team.examine(files)
        first = next(pieces)
        os.kill(team._team[0].process.process_id, signal.SIGKILL)
        rest = list(pieces)
    bad = [one for one in rest if isinstance(one, BadImage)]
    assert (
        isinstance(first, Cut)
        and len(rest) == 29
        and len(bad) <= 1
        and all("SIGKILL" in str(one) for one in bad)
    )


def test_many_that_could_not_be_read_in_a_row_end_nothing(tmp_path: Path) -> None:
    """As in an encrypted archive: more of them than are worked ahead, and a photograph after them."""
    files = photographs(tmp_path, 1)
    unread = [BadImage(f"encrypted {number}") for number in range(70)]
    with Examiners(HOW, count=2) as team:
        results = list(team.examine([*unread, *files]))
    assert results[:70] == unread and isinstance(results[70], Cut)
    with Examiners(HOW, count=1) as team:
        assert list(team.examine([])) == []


def test_scans_are_limited_by_what_they_cost(tmp_path: Path) -> None:
    assert decode(progressive(200, 300)).rgb.shape == (200, 200, 3)
    with pytest.raises(BadImage, match="450 scans of 1000x1000 pixels would take too long"):
        decode(progressive(1000, 450))


def test_limits_are_those_that_are_promised() -> None:
    limits = Limits()
    assert limits.seconds == 5.0
    assert limits.wait == 60.0
    assert limits.memory == 2**30

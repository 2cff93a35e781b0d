"""Weights: found in torch's cache, checked by the digits in their names, taken from a file, never half there."""

import hashlib
from pathlib import Path

import pytest

from analysis.metrics.weights import ALL, Weights
from common.errors import ColourbenchError

CONTENT = b"the weights"
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    source = tmp_path / f"small-{DIGITS}.pth"
    source.write_bytes(CONTENT)
    return Weights("a small network", f"small-{DIGITS}.pth", "tests", "none", source.as_uri)


def test_the_published_files_are_named_by_their_checksums() -> None:
    assert all(len(item.digits) == 8 for item in ALL)
    assert [item.address().rpartition("/")[2] for item in ALL] == [item.file_name for item in ALL]


def test_fetched_checked_and_damaged(small: Weights) -> None:
    assert not small.is_here()
    with pytest.raises(
        ColourbenchError,
        match=r"tests need the weights a small network: `colourbench data weights --fetch`",
    ):
        small.check()
    small.fetch()
    assert small.check().read_bytes() == CONTENT
    small.file.write_bytes(b"something else")
    with pytest.raises(ColourbenchError, match=f"does not begin with {DIGITS}"):
        small.check()


def test_a_file_from_elsewhere(small: Weights, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"wrong")
    with pytest.raises(ColourbenchError, match="is not a small network"):
        small.take(wrong)
    assert not small.is_here()
    small.take(tmp_path / f"small-{DIGITS}.pth")
    assert small.check().read_bytes() == CONTENT


def test_without_a_network_it_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    gone = Weights(
        "gone",
        f"none-{DIGITS}.pth",
        "tests",
        "none",
        lambda: (tmp_path / f"none-{DIGITS}.pth").as_uri(),
    )
    with pytest.raises(ColourbenchError, match=r"cannot download .*--take FILE"):
        gone.fetch()
    assert not gone.is_here()


def test_a_wrong_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    source = tmp_path / "other-00000000.pth"
    source.write_bytes(CONTENT)
    other = Weights("other", source.name, "tests", "none", source.as_uri)
    with pytest.raises(ColourbenchError, match="try again"):
        other.fetch()
    assert not other.is_here()

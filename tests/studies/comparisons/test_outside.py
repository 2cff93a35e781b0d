"""Folders of other programs: matched one to one, at the study's size, on the study's own L; every oddity is named."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.evaluation import splits
from common.data.shards import Dataset, Split
from common.errors import ColourbenchError
from studies.comparisons.cells import outside


@pytest.fixture
def test_split(dataset: Dataset) -> Split:
    return dataset.split("test")


@pytest.fixture
def folder(test_split: Split, tmp_path: Path) -> Path:
    """The true photographs, as a perfect program would give them."""
    root = tmp_path / "results"
    root.mkdir()
    for name, image in zip(
        outside.names(test_split), test_split.centres(np.arange(len(test_split))), strict=True
    ):
        Image.fromarray(image).save(root / f"{name}.png")
    return root


def test_perfect_results_are_scored_as_perfect(folder: Path, test_split: Split) -> None:
    theirs = outside.read(folder, test_split)
    table = splits.measure(theirs.batches(), test_split).table
    assert table["delta_e"].max() < 0.05 and theirs.remarks == []
    assert table["photograph"].tolist() == [entry.photograph for entry in test_split.entries()]


def test_folders_and_other_formats_are_matched_too(
    folder: Path, test_split: Split, tmp_path: Path
) -> None:
    nested = tmp_path / "nested"
    for file in folder.iterdir():
        path = nested / file.stem.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).save(path.with_name(f"{path.name}.JPG"), format="JPEG", quality=95)
    assert len(outside.read(nested, test_split).files) == len(test_split)


def test_missing_results_are_named_and_none_is_scored_without_them(
    folder: Path, test_split: Split
) -> None:
    first = sorted(folder.iterdir())[0]
    first.unlink()
    with pytest.raises(
        ColourbenchError,
        match=f"no result for 1 of {len(test_split)} test images: {first.stem}; `colourbench data export",
    ):
        outside.read(folder, test_split)
    with pytest.raises(ColourbenchError, match="there is no folder"):
        outside.read(folder / "none", test_split)


def test_two_results_for_one_image(folder: Path, test_split: Split) -> None:
    first = sorted(folder.iterdir())[0]
    Image.open(first).save(first.with_suffix(".webp"))
    with pytest.raises(
        ColourbenchError, match=f"several results for one test image: {first.stem}; keep one"
    ):
        outside.read(folder, test_split)


def test_superfluous_resized_and_changed_photographs_are_named(
    folder: Path, test_split: Split
) -> None:
    one, two, *_ = sorted(folder.iterdir())
    Image.new("RGB", (32, 32)).save(folder / "nobody.png")
    Image.open(one).resize((64, 64)).save(one)
    Image.fromarray(255 - np.asarray(Image.open(two))).save(two)
    theirs = outside.read(folder, test_split)
    list(theirs.batches())
    remarks = "\n".join(theirs.remarks)
    assert "1 file matching no test image, ignored" in remarks and "nobody.png" in remarks
    assert f": 1 file of another size, resized to 32 px: {one.name}" in remarks
    assert "with another L, by more than 3" in remarks and two.name in remarks


def test_what_is_no_square_or_no_image_is_refused(folder: Path, test_split: Split) -> None:
    one, two, *_ = sorted(folder.iterdir())
    Image.open(one).resize((64, 32)).save(one)
    with pytest.raises(
        ColourbenchError, match="has 64x32 pixels; the test images are squares of 32 px"
    ):
        list(outside.read(folder, test_split).batches())
    Image.new("RGB", (32, 32)).save(one)
    two.write_bytes(b"no image")
    with pytest.raises(ColourbenchError, match=f"{two.name}: not a JPEG"):
        list(outside.read(folder, test_split).batches())


def test_its_fingerprint_changes_with_any_file(folder: Path, test_split: Split) -> None:
    before = outside.read(folder, test_split).fingerprint
    assert outside.read(folder, test_split).fingerprint == before
    Image.new("RGB", (32, 32)).save(sorted(folder.iterdir())[0])
    assert outside.read(folder, test_split).fingerprint != before


def test_names_are_short_where_they_can_be(
    test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        dataclasses.replace(test_split.entries()[0], photograph=name)
        for name in ("a/x.jpg", "a/y.jpg", "a/y.png")
    ]
    monkeypatch.setattr(Split, "entries", lambda self: entries)
    assert outside.names(test_split) == ["a__x", "a__y.jpg", "a__y.png"]
    assert outside._key("a/y.jpg.png") == "a__y.jpg" and outside._key("a__x.PNG") == "a__x"

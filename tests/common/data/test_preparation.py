import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.evaluation import splits
from common.data import preparation
from common.data.manifest import SPLITS, ShardConfig
from common.data.preparation import prepare
from common.data.shards import Dataset
from common.data.sources import published
from common.data.sources.files import SourceFile
from common.errors import ColourbenchError
from common.system.text import from_text

CONFIG = ShardConfig(size=32, margin=4, validation=0.2, test=0.2)


def files(root: Path) -> list[SourceFile]:
    return published.list_files("folder", root)


def test_whole_photographs_go_to_one_split_each(photo_folder: Path, tmp_path: Path) -> None:
    dataset = prepare(
        files(photo_folder),
        tmp_path / "tiles",
        ShardConfig(size=32, margin=0, tile=40, validation=0.2, test=0.2),
    )
    homes = {name: {entry.photograph for entry in dataset.split(name).entries()} for name in SPLITS}
    assert sum(len(homes[name]) for name in SPLITS) == 24 and all(homes.values())
    assert (
        not homes["train"] & homes["test"]
        and not homes["train"] & homes["validation"]
        and not homes["validation"] & homes["test"]
    )
    assert len(dataset.entries) == 24 * 4  # two by two tiles of 40 in 80 x 96


def test_splits_do_not_depend_on_names_or_order(photo_folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(photo_folder.rglob("*.png"), reverse=True)):
        shutil.copy(path, renamed / f"x{number}.png")
    one, other = (
        prepare(files(photo_folder), tmp_path / "one", CONFIG),
        prepare(files(renamed), tmp_path / "other", CONFIG),
    )

    def content(dataset: Dataset) -> set[bytes]:
        split = dataset.split("test")
        return {image.tobytes() for image in split.read(np.arange(len(split)))}

    assert content(one) == content(other)


def test_stored_pixels_are_the_resized_centre_square(photo_folder: Path, tmp_path: Path) -> None:
    dataset = prepare(files(photo_folder), tmp_path / "d", CONFIG)
    entry = dataset.entries[0]
    picture = (
        Image.open(photo_folder / entry.photograph)
        .crop((8, 0, 88, 80))
        .resize((36, 36), Image.Resampling.LANCZOS)
    )
    assert np.array_equal(dataset.read(np.array([0]))[0], np.asarray(picture))
    assert dataset.labels == ["field", "sea"]
    assert dataset.labels[entry.label] == Path(entry.photograph).parent.name


def test_bad_files_are_counted_with_reasons(
    photo_folder: Path, tmp_path: Path, make_photograph: Callable[..., np.ndarray]
) -> None:
    root = tmp_path / "mixed"
    shutil.copytree(photo_folder, root)
    (root / "sea" / "broken.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    (root / "sea" / "copy.png").write_bytes((root / "sea" / "00.png").read_bytes())
    Image.fromarray(make_photograph(0)).save(root / "sea" / "00-again.bmp")
    Image.new("L", (64, 64), 99).save(root / "sea" / "grey.png")
    Image.fromarray(make_photograph(99, (20, 20))).save(root / "sea" / "tiny.png")
    dataset = prepare(files(root), tmp_path / "d", CONFIG)
    reasons = {
        item.photograph: f"{item.kind} of {item.detail}" if item.kind == "duplicate" else item.kind
        for item in dataset.manifest.removed
    }
    assert reasons == {
        "sea/00.png": "duplicate of sea/00-again.bmp",
        "sea/copy.png": "duplicate of sea/00-again.bmp",
        "sea/broken.jpg": "unreadable",
        "sea/grey.png": "grey",
        "sea/tiny.png": "too small",
    }


def test_only_grey_photographs_say_why(tmp_path: Path) -> None:
    root = tmp_path / "grey"
    root.mkdir()
    for number in range(5):
        Image.fromarray(
            np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
        ).save(root / f"{number}.png")
    with pytest.raises(
        ColourbenchError, match=r"only 0 of 5 files are colour photographs \(5 grey\)"
    ):
        prepare(files(root), tmp_path / "d", CONFIG)
    assert not (tmp_path / "d").exists() and not list(tmp_path.glob(".d.part"))


def test_a_failed_preparation_leaves_the_old_data_set(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = prepare(files(photo_folder), tmp_path / "d", CONFIG)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparation, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        prepare(files(photo_folder)[:10], tmp_path / "d", CONFIG)
    assert Dataset(tmp_path / "d").fingerprint == old.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == [".d.lock", "d"]


def test_a_kill_while_the_new_one_takes_its_place_loses_nothing(
    photo_folder: Path, tmp_path: Path
) -> None:
    old = prepare(files(photo_folder), tmp_path / "d", CONFIG)
    (tmp_path / "d").rename(tmp_path / ".d.old")  # the moment between the two renames
    (tmp_path / ".d.part").mkdir()
    with pytest.raises(ColourbenchError, match="only 2 of 2"):
        prepare(files(photo_folder)[:2], tmp_path / "d", CONFIG)
    assert (
        Dataset(tmp_path / "d").fingerprint == old.fingerprint
        and not (tmp_path / ".d.part").exists()
    )


def test_damage_is_found(photo_folder: Path, tmp_path: Path) -> None:
    dataset = prepare(files(photo_folder), tmp_path / "d", CONFIG)
    dataset.check()
    shard = tmp_path / "d" / "images-00000.npy"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(ColourbenchError, match="damaged"):
        Dataset(tmp_path / "d").check()
    shard.write_bytes(bytes(data[:500]))
    with pytest.raises(ColourbenchError, match="damaged"):
        Dataset(tmp_path / "d")


def test_manifest_of_another_version(photo_folder: Path, tmp_path: Path) -> None:
    prepare(files(photo_folder), tmp_path / "d", CONFIG)
    path = tmp_path / "d" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(ColourbenchError, match="another version"):
        Dataset(tmp_path / "d")


def test_a_manifest_of_the_version_before_is_read(photo_folder: Path, tmp_path: Path) -> None:
    prepare(files(photo_folder), tmp_path / "d", CONFIG)
    path = tmp_path / "d" / "manifest.json"
    sentences = ["unreadable: it is: empty", "near duplicate of a: b.png", "grey"]
    removed = [{"photograph": "x", "reason": sentence, "figures": {}} for sentence in sentences]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1, "removed": removed}))
    removals = [(item.kind, item.detail) for item in Dataset(tmp_path / "d").manifest.removed]
    assert removals == [
        ("unreadable", "it is: empty"),
        ("near duplicate", "a: b.png"),
        ("grey", ""),
    ]
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"schema": 1, "removed": [{"photograph": "x"}]})
    )
    with pytest.raises(ColourbenchError, match="damaged: its list of removed files"):
        Dataset(tmp_path / "d")


def test_a_full_disk_names_folder_and_remedy(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("2286144 requested and 204672 written")  # all that numpy says

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(
        ColourbenchError,
        match=r"cannot write the data set into .*the disk is full .*free some space there",
    ):
        prepare(files(photo_folder), tmp_path / "d", CONFIG)
    assert not (tmp_path / ".d.part").exists()


def test_names_that_are_no_utf8_go_all_the_way(photo_folder: Path, tmp_path: Path) -> None:
    """Old archives hold them; manifest, table and lists carry them as text that leads back to the file."""
    root = tmp_path / "old"
    shutil.copytree(photo_folder, root)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(os.fsdecode(b"r\xe9sum\xe9 " + path.name.encode())))
    dataset = prepare(files(root), tmp_path / "d", CONFIG)
    for entry in dataset.entries:
        assert (
            entry.photograph.startswith(("sea/r\\xe9", "field/r\\xe9"))
            and (root / from_text(entry.photograph)).is_file()
        )
    table = splits.evaluate(splits.grey, dataset.split("test")).table
    table.to_parquet(tmp_path / "t.parquet")
    assert list(pd.read_parquet(tmp_path / "t.parquet")["photograph"]) == list(table["photograph"])

"""Archives read in place: the same photographs, labels and splits as from the folder, and what is wrong with one is named."""

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from common.data.decoding.images import BadImage
from common.data.manifest import ShardConfig
from common.data.preparation import prepare
from common.data.shards import Dataset
from common.data.sources import archives
from common.data.sources.archives import LARGEST, open_archive
from common.data.sources.folders import folder
from common.errors import ColourbenchError

CONFIG = ShardConfig(size=32, margin=0, validation=0.2)


@pytest.fixture
def photographs(photo_folder: Path, tmp_path: Path) -> Path:
    """Two dozen photographs of one class for training and a few for testing, in the layout of published data sets."""
    root = tmp_path / "pack"
    for number, path in enumerate(sorted(photo_folder.rglob("*.png"))):
        split = "test" if number % 5 == 0 else "train"
        target = root / split / f"class{number % 2}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


def as_zip(root: Path, prefix: str = "") -> Path:
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(root.rglob("*.png")):
            file.write(one, prefix + one.relative_to(root).as_posix())
        file.writestr("__MACOSX/._x.png", b"what macOS keeps beside files")
        file.writestr(f"{prefix}train/readme.txt", b"no photograph")
    return path


MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz"}


def as_tar(root: Path, ending: str) -> Path:
    path = root.with_suffix(ending)
    with tarfile.open(path, MODES[ending]) as file:  # type: ignore[call-overload]
        for one in sorted(root.rglob("*.png")):
            file.add(one, one.relative_to(root).as_posix())
    return path


PACKED: dict[str, Callable[[Path], Path]] = {
    "zip": as_zip,
    "zip of a folder": lambda root: as_zip(root, "pack/"),
    "tar": lambda root: as_tar(root, ".tar"),
    "tar.gz": lambda root: as_tar(root, ".tar.gz"),
    "tar.xz": lambda root: as_tar(root, ".tar.xz"),
}


def stored(dataset: Dataset) -> dict[str, tuple[int, str, bytes]]:
    """Label, split and pixels of each photograph."""
    return {
        entry.photograph: (entry.label, entry.split, dataset.image(number).tobytes())
        for number, entry in enumerate(dataset.entries)
    }


@pytest.mark.parametrize("how", PACKED)
def test_an_archive_gives_what_its_folder_gives(
    how: str, photographs: Path, tmp_path: Path
) -> None:
    unpacked = prepare(folder(photographs), tmp_path / "unpacked", CONFIG)
    packed = prepare(folder(PACKED[how](photographs)), tmp_path / "packed", CONFIG)
    assert stored(packed) == stored(unpacked)
    assert len(packed.entries) == 24
    assert {entry.split for entry in packed.entries} == {"train", "validation", "test"}


def test_webdataset_shards_have_labels_beside_photographs(
    photo_folder: Path, tmp_path: Path
) -> None:
    paths = sorted(photo_folder.rglob("*.png"))[:12]
    shards = tmp_path / "shards"
    shards.mkdir()
    for number, name in enumerate(("train-000.tar", "train-001.tar", "val-000.tar")):
        with tarfile.open(shards / name, "w") as file:
            for key, path in enumerate(paths[4 * number : 4 * number + 4]):
                _add(file, f"{number}{key}.png", path.read_bytes())
                label = json.dumps({"label": key % 2}).encode() if number else str(key % 2).encode()
                _add(file, f"{number}{key}.{'json' if number else 'cls'}", label)
    files = folder(shards)
    assert [file.name for file in files][:2] == ["train-000.tar/00.png", "train-000.tar/01.png"]
    assert [file.label for file in files] == ["0", "1"] * 6
    assert [file.split for file in files] == ["train"] * 8 + ["validation"] * 4


def _add(file: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file.addfile(info, io.BytesIO(content))


def test_parquet_as_data_hubs_write_it(photo_folder: Path, tmp_path: Path) -> None:
    """A struct of bytes and path, numbers with names in the description, several groups of rows."""
    paths = sorted(photo_folder.rglob("*.png"))[:10]
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    table = pa.table({"image": rows, "label": [0, 1] * 5})
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(table, path, row_group_size=3)
    files = folder(path)
    assert [file.label for file in files] == ["cat", "dog"] * 5
    for number in (9, 0, 4):  # in any order
        assert files[number].content() == paths[number].read_bytes()
    dataset = prepare(files, tmp_path / "set", CONFIG)
    assert len(dataset.entries) == 10 and dataset.labels == ["cat", "dog"]


def test_one_bad_member_stops_no_other(photographs: Path, tmp_path: Path) -> None:
    path = as_zip(photographs)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        info = next(one for one in file.infolist() if one.filename.endswith(".png"))
    content[info.header_offset + 60 + len(info.filename)] ^= 0xFF  # a bit of its pixels
    path.write_bytes(content)
    dataset = prepare(folder(path), tmp_path / "set", CONFIG)
    [removed] = dataset.manifest.removed
    assert removed.photograph == info.filename and "cannot be read from pack.zip" in removed.detail
    assert len(dataset.entries) == 23


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".parquet"])
def test_what_is_no_archive_of_its_ending_is_named(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"photos{ending}"
    path.write_bytes(b"<html>404 Not Found</html>" * 100)
    with pytest.raises(ColourbenchError, match=rf"photos{ending} is damaged, or no"):
        folder(path)


def test_a_truncated_archive_is_named_or_its_lost_photographs_are(
    photographs: Path, tmp_path: Path
) -> None:
    whole = as_zip(photographs)
    (tmp_path / "half.zip").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ColourbenchError, match=r"half.zip is damaged"):
        folder(tmp_path / "half.zip")
    packed = as_tar(photographs, ".tar.gz")
    (tmp_path / "half.tar.gz").write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(ColourbenchError, match=r"half.tar.gz is damaged"):
        folder(tmp_path / "half.tar.gz")


def test_a_damaged_header_in_the_middle_is_no_end(photographs: Path) -> None:
    """Python's tarfile stops there without a word, and half of a data set would be missing."""
    path = as_tar(photographs, ".tar")
    with tarfile.open(path) as file:
        middle = file.getmembers()[10].offset
    content = bytearray(path.read_bytes())
    content[middle : middle + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(ColourbenchError, match=r"pack.tar is damaged"):
        folder(path)


def test_a_damaged_xz_is_named(photographs: Path) -> None:
    path = as_tar(photographs, ".tar.xz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ColourbenchError, match=r"pack.tar.xz is damaged"):
        folder(path)


def test_one_folder_of_photographs_has_no_label(tmp_path: Path, photo_folder: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(photo_folder.rglob("*.png"))[:3]:
            file.write(one, f"photos/{one.name}")
    assert [file.label for file in folder(path)] == [None] * 3


def test_links_and_climbing_paths_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as file:
        link = tarfile.TarInfo("link.png")
        link.type = tarfile.SYMTYPE
        link.linkname = str(secret)
        file.addfile(link)
        _add(file, "../../climbing.png", secret.read_bytes())
        _add(file, "honest.png", secret.read_bytes())
    assert [file.name for file in folder(path)] == ["honest.png"]
    assert not (tmp_path.parent / "climbing.png").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("a.png", "w") as member,
    ):
        zeros = bytes(1 << 20)
        for _ in range(LARGEST // len(zeros) + 2):
            member.write(zeros)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadImage, match="more than 300 MB"):
        open_archive(path).read("a.png")


def test_a_compressed_tar_can_be_asked_backwards(photographs: Path) -> None:
    archive = open_archive(as_tar(photographs, ".tar.gz"))
    names = [member.name for member in archive.members]
    backwards = {name: archive.read(name) for name in reversed(names)}
    assert backwards == {name: (photographs / name).read_bytes() for name in names}


def test_large_members_do_not_block_the_processes(tmp_path: Path) -> None:
    """Contents and answers that are larger than what a connection buffers: two ends that send at once would wait for ever."""
    path = tmp_path / "large.zip"
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for number in range(8):
            buffer = io.BytesIO()
            noise = draw.integers(0, 256, (700, 700, 3), dtype=np.uint8)
            Image.fromarray(noise).save(buffer, "PNG")
            file.writestr(f"{number}.png", buffer.getvalue())
    config = ShardConfig(size=512, margin=0, validation=0.2, test=0.2)
    assert len(prepare(folder(path), tmp_path / "set", config).entries) == 8


def test_endings_are_those_that_are_promised() -> None:
    assert archives.ENDINGS[:2] == (".zip", ".tar")
    assert {".tar.gz", ".tgz", ".parquet"} <= set(archives.ENDINGS)

"""Whatever happens to a file that the suite wrote, it is told in one line with file and remedy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.system import integrity
from common.system.integrity import Damaged

REMEDY = "make it again"


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.json").write_text(
        '{"a": [1, 2], "b": "a longer text, so that half of it is no JSON"}'
    )
    pd.DataFrame({"image": ["x", "y"], "delta_e": [1.0, 2.0]}).to_parquet(
        tmp_path / "metrics.parquet"
    )
    np.save(tmp_path / "samples.npy", np.zeros((2, 4, 4, 3), dtype=np.uint8))
    return tmp_path


READERS = {
    "settings.json": lambda path: integrity.read_json(path, REMEDY),
    "metrics.parquet": lambda path: integrity.read_table(path, ["image", "delta_e"], REMEDY),
    "samples.npy": lambda path: integrity.read_photographs(path, REMEDY),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("harm", [flipped, halved, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_sealed_file_that_changed(name: str, harm: object, folder: Path) -> None:
    integrity.seal(folder, READERS)
    assert READERS[name](folder / name) is not None
    integrity.check_sealed(folder, READERS, REMEDY)
    harm(folder / name)  # type: ignore[operator]
    for read in (READERS[name], lambda path: integrity.check_sealed(path.parent, [], REMEDY)):
        with pytest.raises(Damaged, match=REMEDY) as told:
            read(folder / name)
        assert str(folder / name) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("harm", [halved, lambda path: path.write_bytes(b"")])
def test_without_a_seal_a_file_must_still_be_of_its_kind(
    name: str, harm: object, folder: Path
) -> None:
    harm(folder / name)  # type: ignore[operator]
    with pytest.raises(Damaged, match=REMEDY):
        READERS[name](folder / name)


def test_the_wrong_kind_is_named(folder: Path) -> None:
    (folder / "settings.json").write_text("[" * 100_000)
    with pytest.raises(Damaged, match="no whole JSON"):
        integrity.read_json(folder / "settings.json", REMEDY)
    (folder / "settings.json").write_text("[1]")
    with pytest.raises(Damaged, match="list in place of dict"):
        integrity.read_json(folder / "settings.json", REMEDY)
    with pytest.raises(Damaged, match="no column ssim"):
        integrity.read_table(folder / "metrics.parquet", ["ssim"], REMEDY)
    np.save(folder / "samples.npy", np.zeros((2, 4, 4, 3)))
    with pytest.raises(Damaged, match="float64"):
        integrity.read_photographs(folder / "samples.npy", REMEDY)


def test_seals_are_in_the_format_of_sha256sum_and_add_up(folder: Path) -> None:
    integrity.seal(folder, ["settings.json"])
    integrity.seal(folder, ["samples.npy"])
    lines = (folder / integrity.SUMS).read_text().splitlines()
    assert [line[64:] for line in lines] == ["  samples.npy", "  settings.json"]

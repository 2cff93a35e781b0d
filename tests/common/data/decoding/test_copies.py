"""Copies are found, and different photographs are kept apart; splits follow from content or from what was published."""

import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from common.data.decoding.copies import Copies
from common.data.decoding.fingerprints import fingerprint
from common.data.manifest import ShardConfig
from common.data.preparation import prepare
from common.data.sources.files import SourceFile
from common.data.sources.folders import folder
from common.data.sources.published import list_files
from common.data.splits import assign_splits

CASES = (
    Path(
        os.environ.get(
            "COLOURBENCH_CORPORA", Path(__file__).resolve().parents[4] / "shared" / "corpora"
        )
    ).parent
    / "cases"
)
CONFIG = ShardConfig(size=32, margin=0, validation=0.2, test=0.2)


@pytest.fixture
def pictures(make_photograph: Callable[..., np.ndarray]) -> list[np.ndarray]:
    return [make_photograph(seed, (96, 128)) for seed in range(40)]


def recompressed(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer).convert("RGB"))


def halved(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((64, 48), Image.Resampling.LANCZOS))


def cropped(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[1:-1, 1:-1])


def mirrored(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


@pytest.mark.parametrize("change", [recompressed, halved, cropped, mirrored])
def test_copies_are_found_and_strangers_are_not(
    pictures: list[np.ndarray], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    copies = Copies()
    for number, picture in enumerate(pictures):
        assert copies.original_of(fingerprint(picture)) is None
        copies.add(str(number), fingerprint(picture))
    assert [copies.original_of(fingerprint(change(picture))) for picture in pictures] == [
        str(n) for n in range(len(pictures))
    ]


def test_more_photographs_than_the_first_capacity(
    monkeypatch: pytest.MonkeyPatch, pictures: list[np.ndarray]
) -> None:
    monkeypatch.setattr("common.data.decoding.copies.FIRST_CAPACITY", 4)
    copies = Copies()
    for number, picture in enumerate(pictures[:11]):
        copies.add(str(number), fingerprint(picture))
    assert [copies.original_of(fingerprint(halved(picture))) for picture in pictures[:11]] == [
        str(n) for n in range(11)
    ]


def test_the_hash_is_that_of_a_cosine_transform(pictures: list[np.ndarray]) -> None:
    for picture in pictures[:5]:
        grey = np.asarray(
            Image.fromarray(picture).convert("L").resize((32, 32), Image.Resampling.BOX),
            dtype=np.float64,
        )
        low = dctn(grey, norm="ortho")[:8, :8].ravel()
        bits = "".join("1" if value > np.median(low[1:]) else "0" for value in low)
        # float32 may put the median itself on the other side
        assert abs(fingerprint(picture).hash - int(bits, 2)).bit_count() <= 1


def test_the_cases_reported_by_users() -> None:
    if not CASES.is_dir():
        pytest.skip("no folder of reported cases beside the corpora")
    looks = {
        path.name: fingerprint(np.asarray(Image.open(path).convert("RGB")))
        for path in sorted((CASES / "copies").iterdir())
    }
    copies = Copies()
    copies.add("a_original.png", looks["a_original.png"])
    found = {name for name, described in looks.items() if copies.original_of(described)}
    assert found == {"a_original.png", "b_q40.jpg", "c_half.png", "d_mirror.png"}


def written(root: Path, name: str, picture: np.ndarray) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def test_copies_never_stand_in_two_splits(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for number, picture in enumerate(pictures[:20]):
        written(tmp_path / "in", f"{number:02d}.png", picture)
        written(
            tmp_path / "in",
            f"{number:02d}-copy.png",
            [recompressed, halved, cropped, mirrored][number % 4](picture),
        )
    dataset = prepare(list_files("folder", tmp_path / "in"), tmp_path / "out", CONFIG)
    assert len(dataset.entries) == 20
    assert Counter(item.kind for item in dataset.manifest.removed) == {"near duplicate": 20}


def test_photographs_that_are_added_move_no_other(
    tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    for number, picture in enumerate(pictures[:24]):
        written(tmp_path / "in", f"{number:02d}.png", picture)
    before = prepare(list_files("folder", tmp_path / "in"), tmp_path / "before", CONFIG)
    for number, picture in enumerate(pictures[24:36]):
        written(tmp_path / "in", f"added-{number:02d}.png", picture)
    after = prepare(list_files("folder", tmp_path / "in"), tmp_path / "after", CONFIG)
    homes = {entry.photograph: entry.split for entry in after.entries}
    assert len(homes) == 36
    assert all(homes[entry.photograph] == entry.split for entry in before.entries)


def test_shares_of_many_photographs() -> None:
    hashes = [(np.random.default_rng(seed).bytes(32).hex(), None) for seed in range(4000)]
    counts = Counter(assign_splits(hashes, ShardConfig(validation=0.1, test=0.2)))
    assert counts["test"] / 4000 == pytest.approx(0.2, abs=0.03) and counts[
        "validation"
    ] / 4000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("count", [3, 4, 6])
def test_even_a_few_photographs_fill_every_split(count: int) -> None:
    for seed in range(50):
        draw = np.random.default_rng(seed)
        splits = assign_splits([(draw.bytes(32).hex(), None) for _ in range(count)], CONFIG)
        assert set(splits) == {"train", "validation", "test"}


FULL = {"train", "validation", "test"}


@pytest.mark.parametrize(
    "folders",
    [("train", "test"), ("train", "val"), ("train", "val", "test"), ("Training", "Testing")],
)
def test_published_splits(
    tmp_path: Path, pictures: list[np.ndarray], folders: tuple[str, ...]
) -> None:
    for number, picture in enumerate(pictures[:30]):
        name = folders[0] if number < 20 else folders[1 + number % (len(folders) - 1)]
        written(
            tmp_path / "in", f"{name}/{'cat' if number % 2 else 'dog'}/{number:02d}.png", picture
        )
    dataset = prepare(list_files("folder", tmp_path / "in"), tmp_path / "out", CONFIG)
    assert dataset.labels == ["cat", "dog"]
    homes: dict[str, set[str]] = {}
    for entry in dataset.entries:
        homes.setdefault(entry.photograph.partition("/")[0], set()).add(entry.split)
    if len(folders) == 3:
        assert homes == {"train": {"train"}, "val": {"validation"}, "test": {"test"}}
    else:
        assert homes[folders[0]] == {"train", "validation"} and homes[folders[1]] == {"test"}
    by_content = prepare(
        list_files("folder", tmp_path / "in"),
        tmp_path / "content",
        CONFIG.model_copy(update={"splits": "content"}),
    )
    assert {
        entry.split for entry in by_content.entries if entry.photograph.startswith(folders[0])
    } == FULL


def test_of_two_copies_the_one_that_tests_stays(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for number, picture in enumerate(pictures[:20]):
        written(tmp_path / "in", f"{'train' if number < 14 else 'val'}/x/{number:02d}.png", picture)
    written(tmp_path / "in", "train/x/copy.png", halved(pictures[15]))
    dataset = prepare(list_files("folder", tmp_path / "in"), tmp_path / "out", CONFIG)
    (removed,) = dataset.manifest.removed
    assert (removed.photograph, removed.kind, removed.detail) == (
        "train/x/copy.png",
        "near duplicate",
        "val/x/15.png",
    )


def labels(files: list[SourceFile]) -> dict[str, str | None]:
    return {file.name: file.label for file in files}


def test_labels_of_folders(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for name in ("sea/1.png", "sea/far/2.png", "train/3.png", "stray.png"):
        written(tmp_path, name, pictures[0])
    expected = {
        "sea/1.png": "sea",
        "sea/far/2.png": "sea",
        "train/3.png": "train",
        "stray.png": None,
    }
    assert labels(folder(tmp_path)) == expected  # "train" alone is a class


def test_labels_of_places(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    written(tmp_path / "standard", "data_256_standard/b/bazaar/indoor/1.png", pictures[0])
    written(tmp_path / "standard", "data_256_standard/a/airfield/2.png", pictures[1])
    written(tmp_path / "val", "val_256/Places365_val_1.png", pictures[2])
    standard = labels(list_files("places365", tmp_path / "standard"))
    assert standard == {"a/airfield/2.png": "airfield", "b/bazaar/indoor/1.png": "bazaar/indoor"}
    assert labels(list_files("places365", tmp_path / "val")) == {"Places365_val_1.png": None}

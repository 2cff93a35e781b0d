"""Published data sets: their layouts, labels and official splits, on small folders of exactly that layout."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from common.data.sources import published
from common.data.sources.files import SourceFile
from common.data.sources.packaged import PHOTOGRAPHS
from common.errors import ColourbenchError


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def told(name: str, root: Path) -> dict[str, tuple[str | None, str | None]]:
    """Label and split of each file."""
    listed: list[SourceFile] = published.list_files(name, root)
    return {file.name: (file.label, file.split) for file in listed}


def test_pets_have_the_splits_of_their_lists(tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    for name in ("Abyssinian_1", "great_pyrenees_12"):
        image(root / "images" / f"{name}.jpg")
    (root / "annotations").mkdir()
    (root / "annotations" / "trainval.txt").write_text(
        "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n"
    )
    (root / "annotations" / "test.txt").write_text("great_pyrenees_12 1 2 1\n")
    assert told("oxford-pets", tmp_path) == {
        "Abyssinian_1.jpg": ("Abyssinian", "train"),
        "great_pyrenees_12.jpg": ("great_pyrenees", "test"),
    }


def test_flowers_have_three_splits(tmp_path: Path) -> None:
    root = tmp_path / "flowers-102"
    for number in (1, 2, 3):
        image(root / "jpg" / f"image_{number:05d}.jpg")
    savemat(root / "imagelabels.mat", {"labels": np.array([[77, 5, 5]])})
    savemat(root / "setid.mat", {"trnid": [[2]], "valid": [[3]], "tstid": [[1]]})
    assert list(told("flowers102", tmp_path).values()) == [
        ("class_077", "test"),
        ("class_005", "train"),
        ("class_005", "validation"),
    ]


def test_dogs_have_the_splits_of_their_lists(tmp_path: Path) -> None:
    names = ["n02085620-Chihuahua/1.jpg", "n02085620-Chihuahua/2.jpg"]
    for name in names:
        image(tmp_path / "Images" / name)
    for split, name in zip(("train", "test"), names, strict=True):
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = name
        savemat(tmp_path / f"{split}_list.mat", {"file_list": cell})
    assert told("stanford-dogs", tmp_path) == {
        names[0]: ("Chihuahua", "train"),
        names[1]: ("Chihuahua", "test"),
    }


def test_coco_folders_are_its_splits(tmp_path: Path) -> None:
    for folder in ("train2017", "val2017", "unlabeled2017"):
        image(tmp_path / folder / "1.jpg")
    assert told("coco", tmp_path) == {
        "train2017/1.jpg": (None, "train"),
        "val2017/1.jpg": (None, "validation"),
        "unlabeled2017/1.jpg": (None, "train"),
    }


def test_places_validation_has_its_labels(tmp_path: Path) -> None:
    image(tmp_path / "data_256_standard" / "b" / "bazaar" / "indoor" / "1.jpg")
    image(tmp_path / "val_256" / "Places365_val_00000001.jpg")
    (tmp_path / "categories_places365.txt").write_text("/a/airfield 0\n/b/bazaar/indoor 1\n")
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg 1\n")
    assert told("places365", tmp_path) == {
        "b/bazaar/indoor/1.jpg": ("bazaar/indoor", "train"),
        "val_256/Places365_val_00000001.jpg": ("bazaar/indoor", "validation"),
    }


def test_imagenet_validation_is_labelled_by_its_devkit(tmp_path: Path) -> None:
    image(tmp_path / "train" / "n01440764" / "n01440764_1.JPEG")
    image(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    image(tmp_path / "val" / "ILSVRC2012_val_00000002.JPEG")
    devkit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n")
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    rows = [(1, "n01440764", "tench"), (2, "n01443537", "goldfish")]
    savemat(devkit / "meta.mat", {"synsets": np.array(rows, dtype=fields)})
    assert told("imagenet", tmp_path) == {
        "train/n01440764/n01440764_1.JPEG": ("n01440764", "train"),
        "val/ILSVRC2012_val_00000001.JPEG": ("n01443537", "validation"),
        "val/ILSVRC2012_val_00000002.JPEG": ("n01440764", "validation"),
    }
    # sorted into class folders, as most people have it
    (tmp_path / "val" / "n01443537").mkdir()
    flat = tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG"
    flat.rename(tmp_path / "val" / "n01443537" / flat.name)
    moved = told("imagenet", tmp_path)[f"val/n01443537/{flat.name}"]
    assert moved == ("n01443537", "validation")


def test_tiny_imagenet_as_it_is_packed(tmp_path: Path) -> None:
    image(tmp_path / "train" / "n01443537" / "images" / "n01443537_0.JPEG")
    image(tmp_path / "val" / "images" / "val_0.JPEG")
    image(tmp_path / "test" / "images" / "test_0.JPEG")  # without labels, and left out
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01443537\t0\t32\t44\t62\n")
    assert told("tiny-imagenet", tmp_path) == {
        "train/n01443537/images/n01443537_0.JPEG": ("n01443537", "train"),
        "val/images/val_0.JPEG": ("n01443537", "validation"),
    }


class TestSources:
    def test_links_to_folders_are_followed_but_not_in_a_circle(
        self, photo_folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "in").symlink_to(photo_folder)
        (tmp_path / "in again").mkdir()
        (tmp_path / "in again" / "circle").symlink_to(tmp_path)
        names = [file.name for file in published.list_files("folder", tmp_path)]
        assert len(names) == 24 and all(name.startswith("in/") for name in names)

    def test_endings_in_capitals_and_rare_ones(self, tmp_path: Path) -> None:
        for name in ("A.JPG", "b.JFIF", "c.Avif", "d.jp2", "e.HEIC", "f.txt"):
            (tmp_path / name).touch()
        assert [file.name for file in published.list_files("folder", tmp_path)] == [
            "A.JPG",
            "b.JFIF",
            "c.Avif",
            "d.jp2",
            "e.HEIC",
        ]

    def test_packaged_photographs_need_no_network(self) -> None:
        names = [file.name for file in published.list_files("packaged", None)]
        assert "chelsea.png" in names and "china.jpg" in names and "grace_hopper.jpg" in names
        assert "kitten-on-lawn.jpg" in names and len(set(names)) == len(names) == 40

    def test_every_photograph_that_ships_has_its_evidence(self) -> None:
        with (PHOTOGRAPHS / "EVIDENCE.tsv").open() as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        shipped = {
            path.relative_to(PHOTOGRAPHS).as_posix(): path.stat().st_size
            for path in PHOTOGRAPHS.rglob("*.jpg")
        }
        assert {row["file"] for row in rows} == set(shipped) and all(
            row["evidence"] for row in rows
        )
        assert sum(shipped.values()) < 1_000_000

    def test_wrong_name_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ColourbenchError, match="choose one of"):
            published.list_files("flickr", None)
        with pytest.raises(ColourbenchError, match="--root"):
            published.list_files("folder", None)
        with pytest.raises(ColourbenchError, match="there is no folder"):
            published.list_files("folder", tmp_path / "none")
        with pytest.raises(ColourbenchError, match="holds no image files"):
            published.list_files("folder", tmp_path)

    def test_oxford_pets(self, tmp_path: Path) -> None:
        self._image(tmp_path / "oxford-iiit-pet" / "images" / "great_pyrenees_12.jpg")
        assert [(f.name, f.label) for f in published.list_files("oxford-pets", tmp_path)] == [
            ("great_pyrenees_12.jpg", "great_pyrenees")
        ]

    def test_flowers102(self, tmp_path: Path) -> None:
        for number in (1, 2):
            self._image(tmp_path / "flowers-102" / "jpg" / f"image_{number:05d}.jpg")
        savemat(tmp_path / "flowers-102" / "imagelabels.mat", {"labels": np.array([[77, 5]])})
        assert [f.label for f in published.list_files("flowers102", tmp_path)] == [
            "class_077",
            "class_005",
        ]

    def test_places365(self, tmp_path: Path) -> None:
        self._image(tmp_path / "data_256_standard" / "a" / "airfield" / "1.jpg")
        assert published.list_files("places365", tmp_path)[0].label == "airfield"

    def test_stanford_dogs(self, tmp_path: Path) -> None:
        self._image(tmp_path / "Images" / "n02085620-Chihuahua" / "1.jpg")
        assert published.list_files("stanford-dogs", tmp_path)[0].label == "Chihuahua"

    def test_coco(self, tmp_path: Path) -> None:
        self._image(tmp_path / "val2017" / "000001.jpg")
        self._image(tmp_path / "annotations" / "no.jpg")
        assert [(f.name, f.label) for f in published.list_files("coco", tmp_path)] == [
            ("val2017/000001.jpg", None)
        ]

    @pytest.mark.parametrize(
        "name",
        [
            "oxford-pets",
            "flowers102",
            "places365",
            "stanford-dogs",
            "coco",
            "imagenet",
            "tiny-imagenet",
        ],
    )
    def test_a_missing_layout_says_what_to_do(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ColourbenchError, match=r"download|unpack"):
            published.list_files(name, tmp_path)

    @staticmethod
    def _image(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)

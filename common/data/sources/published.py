"""Named photograph sources: each yields the files it holds, with a label where the layout gives one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common.data.sources.files import SourceFile, existing, images_below
from common.data.sources.folders import folder
from common.data.sources.packaged import packaged
from common.errors import ColourbenchError


@dataclass(frozen=True)
class Source:
    """A place that photographs come from. `files(root, download)` lists them; `licence` is what their publishers say, if known."""

    about: str
    files: Callable[[Path | None, bool], list[SourceFile]]
    licence: str = ""


def oxford_pets(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Oxford-IIIT Pet: `oxford-iiit-pet/images/Breed_name_12.jpg`; the breed is the label, splits are in `annotations/`."""
    root = _fetched(root, "OxfordIIITPet", "oxford-iiit-pet/images", download)
    lists = root.parent / "annotations"
    splits = {
        **dict.fromkeys(_first_words(lists / "trainval.txt"), "train"),
        **dict.fromkeys(_first_words(lists / "test.txt"), "test"),
    }
    return [
        SourceFile(path, path.name, path.stem.rpartition("_")[0], splits.get(path.stem))
        for path in images_below(root)
    ]


def flowers102(root: Path | None, download: bool = False) -> list[SourceFile]:
    """VGG Flowers-102: `flowers-102/jpg/image_00001.jpg`, classes in `imagelabels.mat`, splits in `setid.mat` beside `jpg`."""
    from scipy.io import loadmat

    images = _fetched(root, "Flowers102", "flowers-102/jpg", download)
    labels = loadmat(images.parent / "imagelabels.mat")["labels"].ravel()
    splits: dict[int, str] = {}
    if (images.parent / "setid.mat").is_file():
        lists = loadmat(images.parent / "setid.mat")
        for name, split in (("trnid", "train"), ("valid", "validation"), ("tstid", "test")):
            splits |= dict.fromkeys(lists[name].ravel().tolist(), split)
    numbers = [(path, int(path.stem.rpartition("_")[2])) for path in images_below(images)]
    return [
        SourceFile(path, path.name, f"class_{labels[number - 1]:03d}", splits.get(number))
        for path, number in numbers
    ]


def places365(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Places365, small images: `data_256_standard` (or `data_256`) and `val_256`; `--root` is the folder above them.

    Where both are there, they are the official splits; `places365_val.txt` and `categories_places365.txt` label the latter.
    """
    root = existing(root, "places365")
    if download:
        from torchvision.datasets import Places365

        Places365(str(root), split="val", small=True, download=True)
    training = next((root / name for name in PLACES_TRAINING if (root / name).is_dir()), None)
    files: list[SourceFile] = []
    if training:
        files += [_of_places(path, training) for path in images_below(training)]
    if (root / "val_256").is_dir():
        labels = _places_labels(root)
        for path in images_below(root / "val_256"):
            one = _of_places(path, root / "val_256")
            label = one.label or labels.get(path.name)
            files.append(replace(one, name=f"val_256/{one.name}", label=label, split="validation"))
    if not files:
        raise ColourbenchError(
            f"{root} holds neither data_256_standard nor val_256; add --download, or unpack Places365 there"
        )
    if training and len({file.split for file in files}) > 1:
        return [replace(file, split=file.split or "train") for file in files]
    return [replace(file, name=file.name.removeprefix("val_256/"), split=None) for file in files]


def _places_labels(root: Path) -> dict[str, str]:
    """The class of each validation image, by file name."""
    categories = root / "categories_places365.txt"
    validation = root / "places365_val.txt"
    if not (categories.is_file() and validation.is_file()):
        return {}
    names = {}
    for line in categories.read_text().splitlines():
        path, number = line.split()
        names[number] = path.removeprefix("/").partition("/")[2]  # /b/bazaar/indoor 42
    pairs = (line.split() for line in validation.read_text().splitlines())
    return {file: names[number] for file, number in pairs}


def stanford_dogs(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Stanford Dogs: `Images/n02085620-Chihuahua/*.jpg`; the breed is the label, splits are in `train_list.mat`, `test_list.mat`.

    There is no automatic download.
    """
    from scipy.io import loadmat

    root = existing(root, "stanford-dogs")
    images = root / "Images"
    if not images.is_dir():
        raise ColourbenchError(
            f"there is no {images}; unpack images.tar of Stanford Dogs into {images.parent}"
        )
    splits: dict[str, str] = {}
    for split in ("train", "test"):
        if (root / f"{split}_list.mat").is_file():
            listed = loadmat(root / f"{split}_list.mat")["file_list"].ravel()
            splits |= dict.fromkeys((str(name[0]) for name in listed), split)
    files = []
    for path in images_below(images):
        name = path.relative_to(images).as_posix()
        breed = path.parent.name.partition("-")[2]
        files.append(SourceFile(path, name, breed, splits.get(name)))
    return files


def imagenet(root: Path | None, download: bool = False) -> list[SourceFile]:
    """ImageNet (ILSVRC 2012): `train/n01440764/*.JPEG`, and `val/` with class folders, or flat beside the devkit's labels.

    The devkit (`ILSVRC2012_devkit_t12/data`) tells which class a flat validation image has. The validation images are the test set.
    """
    root = existing(root, "imagenet")
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise ColourbenchError(
            f"{root} needs the folders train and val; unpack ImageNet's archives there"
        )
    labels = _imagenet_labels(root / "ILSVRC2012_devkit_t12" / "data")
    files = [
        SourceFile(path, path.relative_to(root).as_posix(), path.parent.name, "train")
        for path in images_below(root / "train")
    ]
    for path in images_below(root / "val"):
        label = labels.get(path.stem) if path.parent == root / "val" else path.parent.name
        files.append(SourceFile(path, path.relative_to(root).as_posix(), label, "validation"))
    return files


def _imagenet_labels(devkit: Path) -> dict[str, str]:
    """The class (WordNet id) of each validation image, by its name without the ending."""
    from scipy.io import loadmat

    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    if not truth.is_file() or not (devkit / "meta.mat").is_file():
        return {}
    synsets = loadmat(devkit / "meta.mat", squeeze_me=True)["synsets"]
    classes = {int(one["ILSVRC2012_ID"]): str(one["WNID"]) for one in synsets}
    numbers = [int(line) for line in truth.read_text().split()]
    return {
        f"ILSVRC2012_val_{place:08d}": classes[number]
        for place, number in enumerate(numbers, start=1)
    }


def tiny_imagenet(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Tiny ImageNet as Stanford packs it: `train/WNID/images`, `val/images` with `val_annotations.txt`; its test set has no labels.

    The validation images are the test set.
    """
    root = existing(root, "tiny-imagenet")
    if not (root / "train").is_dir() or not (root / "val" / "images").is_dir():
        raise ColourbenchError(
            f"{root} needs train and val/images; unpack tiny-imagenet-200.zip, and name the folder tiny-imagenet-200"
        )
    annotations = (root / "val" / "val_annotations.txt").read_text().splitlines()
    labels = {line.split()[0]: line.split()[1] for line in annotations if line.strip()}
    training = [
        SourceFile(path, path.relative_to(root).as_posix(), path.parent.parent.name, "train")
        for path in images_below(root / "train")
    ]
    return training + [
        SourceFile(path, path.relative_to(root).as_posix(), labels.get(path.name), "validation")
        for path in images_below(root / "val" / "images")
    ]


def coco(root: Path | None, download: bool = False) -> list[SourceFile]:
    """COCO: every `train*`, `val*`, `test*` or `unlabeled*` folder of images; these are its splits.

    Photographs have no single class, so no label.
    """
    root = existing(root, "coco")
    files = []
    for part in sorted(path for path in root.iterdir() if path.is_dir()):
        split = next(
            (name for start, name in COCO_SPLITS.items() if part.name.startswith(start)), ""
        )
        if split:
            files += [
                SourceFile(path, path.relative_to(root).as_posix(), split=split)
                for path in images_below(part)
            ]
    if not files:
        raise ColourbenchError(
            f"{root} holds no train2017, val2017 … folders with images; unpack COCO's archives there"
        )
    if len({file.split for file in files}) == 1:
        return [replace(file, split=None) for file in files]  # one folder has no splits
    return files


COCO_SPLITS = {"train": "train", "val": "validation", "test": "test", "unl": "train"}
PLACES_TRAINING = ("data_256_standard", "data_256")
PLACES = "research and education, not commercial; the photographs' owners keep their rights"
SOURCES = {
    "folder": Source(
        "any folder of photographs, with or without class folders, an archive of one (zip, tar, WebDataset, Parquet), or a list "
        "(CSV) (--root PATH)",
        folder,
    ),
    "packaged": Source(
        "40 photographs that come with colourbench, scikit-image, scikit-learn and matplotlib",
        packaged,
        "27 are CC0 or in the public domain (EVIDENCE.tsv beside them); the others are the packages', most of them so too",
    ),
    "oxford-pets": Source(
        "Oxford-IIIT Pet, 37 breeds of cats and dogs (--root DIR, --download)",
        oxford_pets,
        "CC BY-SA 4.0; the photographs' owners keep their rights",
    ),
    "flowers102": Source(
        "VGG Flowers, 102 classes (--root DIR, --download)",
        flowers102,
        "none stated; collected from the web for research",
    ),
    "places365": Source(
        "Places365 at 256 px, 365 scenes (--root DIR, --download fetches the validation set)",
        places365,
        PLACES,
    ),
    "stanford-dogs": Source(
        "Stanford Dogs, 120 breeds (--root DIR)",
        stanford_dogs,
        "ImageNet's terms: research and education, not commercial",
    ),
    "imagenet": Source(
        "ImageNet, ILSVRC 2012, 1000 classes (--root DIR above train and val)",
        imagenet,
        "ImageNet's terms: research and education, not commercial",
    ),
    "imagenette": Source(
        "Imagenette, 10 classes of ImageNet (--root DIR above train and val, or its .tgz)",
        folder,
        "ImageNet's terms: research and education, not commercial",
    ),
    "tiny-imagenet": Source(
        "Tiny ImageNet, 200 classes at 64 px (--root tiny-imagenet-200)",
        tiny_imagenet,
        "ImageNet's terms: research and education, not commercial",
    ),
    "coco": Source(
        "COCO photographs, no classes (--root DIR)",
        coco,
        "Flickr's terms, a Creative Commons licence of its own for each photograph",
    ),
}


def list_files(name: str, root: Path | None, download: bool = False) -> list[SourceFile]:
    """The files of a named source, sorted by name.

    Raises:
        ColourbenchError: unknown source, missing folder, or nothing in it.
    """
    if name not in SOURCES:
        raise ColourbenchError(f"there is no source {name!r}; choose one of {', '.join(SOURCES)}")
    files = SOURCES[name].files(root, download)
    # compressed archives can only be read in their own order
    if not any(file.archive for file in files):
        files = sorted(files, key=lambda file: file.name)
    if not files:
        raise ColourbenchError(f"the source {name} holds no image files")
    return files


def _first_words(path: Path) -> list[str]:
    """The first word of each line of a list, if it is there."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def _fetched(root: Path | None, dataset: str, images: str, download: bool) -> Path:
    """The image folder of a torchvision data set, first downloaded by torchvision if `download` is set."""
    root = existing(root, dataset)
    if download:
        import torchvision

        getattr(torchvision.datasets, dataset)(str(root), download=True)
    if not (root / images).is_dir():
        raise ColourbenchError(
            f"there is no {root / images}; add --download to fetch {dataset}, or unpack it there"
        )
    return root / images


def _of_places(path: Path, root: Path) -> SourceFile:
    """One file of Places365: `b/bazaar/indoor/00000001.jpg` has the label bazaar/indoor; the validation set has no folders."""
    folders = path.relative_to(root).parts[:-1]
    if len(folders) > 1 and len(folders[0]) == 1:
        folders = folders[1:]  # the first letter of the class
    return SourceFile(path, path.relative_to(root).as_posix(), label="/".join(folders) or None)

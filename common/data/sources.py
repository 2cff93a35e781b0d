"""Named photograph sources: each yields the files it holds, with a label where the layout gives one."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.data.decoding.images import SUFFIXES
from common.errors import ColourbenchError
from common.system.text import as_text

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    `name` is its path inside the source, as text (see `files.as_text`), `label` its class or None, and `split` the split that its
    publishers put it into ("train", "validation" or "test") or None.
    """

    path: Path
    name: str
    label: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", as_text(self.name))
        object.__setattr__(self, "label", as_text(self.label) if self.label else self.label)


@dataclass(frozen=True)
class Source:
    """A place that photographs come from. `files(root, download)` lists them; `licence` is what their publishers say, if known."""

    about: str
    files: Callable[[Path | None, bool], list[SourceFile]]
    licence: str = ""


def folder(root: Path | None, download: bool = False) -> list[SourceFile]:
    """All image files below `root`; the first folder's name is the label.

    Where `root` holds a folder `train` and a folder `test` or `val`, these are splits, and the folder below them is the label.
    """
    root = _existing(root, "folder")
    paths = list(images_below(root))
    if not paths:
        raise ColourbenchError(
            f"{root} holds no image files ({', '.join(SUFFIXES)}, in small or capital letters)"
        )
    folders = {path.relative_to(root).parts[0] for path in paths if path.parent != root}
    splits = {
        name: SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS
    }
    if len(set(splits.values())) < 2 or "train" not in splits.values():
        splits = {}  # a class may be called "train"
    return [_in_folder(path, root, splits) for path in paths]


def _in_folder(path: Path, root: Path, splits: dict[str, str]) -> SourceFile:
    relative = path.relative_to(root)
    folders = list(relative.parts[:-1])
    split = splits.get(folders[0]) if folders else None
    if split:
        del folders[0]
    return SourceFile(path, relative.as_posix(), label=folders[0] if folders else None, split=split)


def packaged(root: Path | None = None, download: bool = False) -> list[SourceFile]:
    """The photographs beside this file, and those that come with scikit-image, scikit-learn and matplotlib.

    Some of the latter are grey: the filter removes them.
    """
    folders = {
        ("skimage", "data"): {
            "people": ["astronaut.png"],
            "animals": ["chelsea.png"],
            "things": ["coffee.png", "motorcycle_left.png", "rocket.jpg"],
            "scenes": ["hubble_deep_field.jpg"],
            "grey": ["brick.png", "camera.png", "coins.png", "grass.png"],
        },
        ("sklearn", "datasets/images"): {"scenes": ["china.jpg"], "things": ["flower.jpg"]},
        ("matplotlib", "mpl-data/sample_data"): {"people": ["grace_hopper.jpg"]},
    }
    files = [
        SourceFile(_package(package) / folder / name, name, label)
        for (package, folder), labels in folders.items()
        for label, names in labels.items()
        for name in names
    ]
    own = [SourceFile(path, path.name, path.parent.name) for path in images_below(PHOTOGRAPHS)]
    return own + [file for file in files if file.path.exists()]


def oxford_pets(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Oxford-IIIT Pet: `oxford-iiit-pet/images/Breed_name_12.jpg`; the breed is the label."""
    root = _fetched(root, "OxfordIIITPet", "oxford-iiit-pet/images", download)
    return [
        SourceFile(path, path.name, path.stem.rpartition("_")[0]) for path in images_below(root)
    ]


def flowers102(root: Path | None, download: bool = False) -> list[SourceFile]:
    """VGG Flowers-102: `flowers-102/jpg/image_00001.jpg`, classes in `flowers-102/imagelabels.mat`."""
    from scipy.io import loadmat

    images = _fetched(root, "Flowers102", "flowers-102/jpg", download)
    labels = loadmat(images.parent / "imagelabels.mat")["labels"].ravel()
    numbers = [(path, int(path.stem.rpartition("_")[2])) for path in images_below(images)]
    return [
        SourceFile(path, path.name, f"class_{labels[number - 1]:03d}") for path, number in numbers
    ]


def places365(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Places365, small images: `val_256` or `data_256_standard` with class folders; `--root` is the folder above them."""
    root = _existing(root, "places365")
    if download:
        from torchvision.datasets import Places365

        Places365(str(root), split="val", small=True, download=True)
    for name in ("data_256_standard", "data_256", "val_256"):
        if (root / name).is_dir():
            return [_of_places(path, root / name) for path in images_below(root / name)]
    raise ColourbenchError(
        f"{root} holds neither data_256_standard nor val_256; add --download, or unpack Places365 there"
    )


def stanford_dogs(root: Path | None, download: bool = False) -> list[SourceFile]:
    """Stanford Dogs: `Images/n02085620-Chihuahua/*.jpg`; the breed is the label. There is no automatic download."""
    images = _existing(root, "stanford-dogs") / "Images"
    if not images.is_dir():
        raise ColourbenchError(
            f"there is no {images}; unpack images.tar of Stanford Dogs into {images.parent}"
        )
    return [
        SourceFile(path, path.relative_to(images).as_posix(), path.parent.name.partition("-")[2])
        for path in images_below(images)
    ]


def coco(root: Path | None, download: bool = False) -> list[SourceFile]:
    """COCO: every `train*`, `val*`, `test*` or `unlabeled*` folder of images. Photographs have no single class, so no label."""
    root = _existing(root, "coco")
    folders = [
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name.startswith(("train", "val", "test", "unl"))
    ]
    files = [
        SourceFile(path, path.relative_to(root).as_posix())
        for folder in folders
        for path in images_below(folder)
    ]
    if not files:
        raise ColourbenchError(
            f"{root} holds no train2017, val2017 … folders with images; unpack COCO's archives there"
        )
    return files


PHOTOGRAPHS = Path(__file__).with_name("photographs")
PLACES = "research and education, not commercial; the photographs' owners keep their rights"
SOURCES = {
    "folder": Source(
        "any folder of photographs, with or without class folders (--root DIR)", folder
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
    files = sorted(SOURCES[name].files(root, download), key=lambda file: file.name)
    if not files:
        raise ColourbenchError(f"the source {name} holds no image files")
    return files


def _package(name: str) -> Path:
    """An installed package's folder, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ColourbenchError(f"the package {name} is not installed; run `make setup`")
    return Path(spec.origin).parent


def images_below(root: Path) -> Iterator[Path]:
    """Image files in a folder and all folders below it, sorted; links to folders are followed, except in a cycle."""
    return (
        path
        for path in sorted(_files_below(root, set()))
        if path.suffix.lower() in SUFFIXES and not is_a_systems(path) and path.is_file()
    )


def is_a_systems(path: Path) -> bool:
    """Whether a file is no photograph but an operating system's own: macOS keeps `._NAME` beside NAME on foreign disks."""
    return path.name.startswith("._")


def _files_below(folder: Path, above: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, above | {identity})
        else:
            yield path


def _existing(root: Path | None, source: str) -> Path:
    if root is None:
        raise ColourbenchError(f"the source {source} needs --root DIR, the folder that holds it")
    if not root.is_dir():
        raise ColourbenchError(f"there is no folder {root}")
    return root


def _fetched(root: Path | None, dataset: str, images: str, download: bool) -> Path:
    """The image folder of a torchvision data set, first downloaded by torchvision if `download` is set."""
    root = _existing(root, dataset)
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

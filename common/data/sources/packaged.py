"""Photographs that are on every machine: those of the suite and of packages that it needs anyway."""

import importlib.util
from pathlib import Path

from common.data.sources.files import SourceFile, images_below
from common.errors import ColourbenchError

PHOTOGRAPHS = Path(__file__).parents[1] / "photographs"


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


def _package(name: str) -> Path:
    """An installed package's folder, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ColourbenchError(f"the package {name} is not installed; run `make setup`")
    return Path(spec.origin).parent

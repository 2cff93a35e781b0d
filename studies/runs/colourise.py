"""Uses a trained run: colourises photographs at their own resolution."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab
from common.data.decoding import images
from common.data.sources import images_below
from common.errors import ColourbenchError
from common.files.atomic import replacing
from variants.players.colouriser import Colouriser


def colourise_photograph(
    colouriser: Colouriser, rgb: UInt8[np.ndarray, "h w 3"], label: int = -1, sample: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Colours a photograph, grey or not, conditioned on its class if a label is given; its own L is kept at full resolution.

    The generator sees the photograph with its shorter side at the training size, padded by reflection to a multiple of the
    generator's stride; the predicted ab are cropped, enlarged and joined with the photograph's L.
    """
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].to(colouriser.engine.device)
    L, _ = lab.to_network(pixels)
    ab = predict_ab(colouriser, L, label, sample)
    return np.ascontiguousarray(lab.to_photographs(L, ab)[0].permute(1, 2, 0).cpu().numpy())


def predict_ab(
    colouriser: Colouriser, L: Float[Tensor, "1 1 h w"], label: int = -1, sample: bool = False
) -> Float[Tensor, "1 2 h w"]:
    """Predicts ab for an L of any size, at that size; with `sample`, each call gives another version."""
    height, width = L.shape[2:]
    scale = colouriser.size / min(height, width)
    small = max(colouriser.size, round(height * scale)), max(colouriser.size, round(width * scale))
    shrunk = F.interpolate(L, small, mode="bilinear", antialias=True, align_corners=False)
    padded = pad_to_multiple(shrunk, colouriser.stride)
    run = colouriser.sample if sample else colouriser
    ab = run(padded, torch.tensor([label], device=L.device))[..., : small[0], : small[1]]
    return F.interpolate(ab, (height, width), mode="bilinear", align_corners=False)


def pad_to_multiple(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c h2 w2"]:
    """Reflects the lower and right edges outwards until both sides are multiples of `stride`."""
    while any(side % stride for side in x.shape[2:]):
        down, right = (min(-side % stride, side - 1) for side in x.shape[2:])  # a reflection reaches no further than the image
        x = F.pad(x, (0, right, 0, down), mode="reflect")
    return x


def colourise_files(
    colouriser: Colouriser, files: Iterable[Path], out: Path, label: int = -1, samples: int = 0
) -> Iterator[tuple[Path, Path | ColourbenchError]]:
    """Colourises each file to `out/NAME.png`, never over an existing file, and yields the path or the error.

    With `samples`, each file gets that many versions, `NAME-sample-1.png` …. After a bad file the others are still colourised.
    """
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            rgb = images.decode(file).rgb
        except ColourbenchError as error:
            yield file, ColourbenchError(f"{file}: {error}")
            continue
        for stem in [f"{file.stem}-sample-{number}" for number in range(1, samples + 1)] or [file.stem]:
            target = _free_path(out, stem)
            with replacing(target) as opened:
                Image.fromarray(colourise_photograph(colouriser, rgb, label, samples > 0)).save(opened, format="PNG")
            yield file, target


def photographs_in(places: Iterable[Path]) -> list[Path]:
    """Returns the given files, and for each folder the images in it.

    Raises:
        ColourbenchError: a file or folder does not exist, or there are no images.
    """
    files: list[Path] = []
    for path in places:
        if not path.exists():
            raise ColourbenchError(f"there is no file or folder {path}")
        files += images_below(path) if path.is_dir() else [path]
    if not files:
        raise ColourbenchError("these folders hold no image files")
    return files


def _free_path(folder: Path, stem: str) -> Path:
    """Returns `STEM.png`, or a numbered name if that exists: nothing is overwritten, least of all the photograph itself."""
    path, number = folder / f"{stem}.png", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.png", number + 1
    return path

"""A split's images as files, so that other programs can colour them and take part in a study."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from analysis import evaluation, outside
from common.errors import ColourbenchError
from common.files import from_text
from common.shards import Dataset


def export(dataset: Dataset, split: str, out: Path, grey: bool = True) -> int:
    """Writes a PNG an image, named as a study's `images: DIR` expects the results, and returns how many.

    Args:
        grey: the photograph without colours, as networks see it; else in its colours.

    Raises:
        ColourbenchError: the folder holds files already.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise ColourbenchError(f"{out} is not empty; name a new folder with --out")
    part = dataset.split(split)
    names, places = outside.names(part), np.arange(len(part))
    written = 0
    for _, images, truth in evaluation.colourised(evaluation.grey, part, places, "cpu"):
        for image in (_grey(images) if grey else truth).permute(0, 2, 3, 1).numpy():
            Image.fromarray(image).save(out / from_text(f"{names[written]}.png"))
            written += 1
    return written


def _grey(images: Tensor) -> Tensor:
    """Equal channels: rounding leaves those of a photograph without ab up to 1 apart."""
    return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8).expand(-1, 3, -1, -1)

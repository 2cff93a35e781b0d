"""Summaries for people: a data set as text and as a contact sheet, and a run's preview grid."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from common.colour import lab
from common.data.manifest import SPLITS
from common.data.shards import Dataset

CONTACT_IMAGES = 64
FEW = 8  # a split with at most this many photographs is listed by name
WIDTH = 90  # characters of examples on a line


def description(dataset: Dataset) -> list[str]:
    """Lines that say what was kept, in which split, and what was removed and why."""
    lines = []
    size = dataset.config.size
    for name in SPLITS:
        split = dataset.split(name)
        photographs = {entry.photograph for entry in split.entries()}
        shown = ": " + ", ".join(sorted(photographs)) if len(photographs) <= FEW else ""
        lines.append(
            f"  {name:<11}{len(split):>6} images of {size} px from {len(photographs)} photographs{shown}"
        )
    removed = dataset.manifest.removed
    lines.append(f"  removed    {len(removed):>6} files" + (":" if removed else ""))
    for kind, count in Counter(item.kind for item in removed).most_common():
        examples = ", ".join(item.photograph for item in removed if item.kind == kind)
        lines.append(
            f"    {count} {kind}: {examples if len(examples) < WIDTH else examples[: WIDTH - 3] + '…'}"
        )
    return lines


def contact_sheet(dataset: Dataset, path: Path) -> Path:
    """Saves a grid of up to 64 images, train first, then validation and test."""
    from torchvision.utils import make_grid, save_image  # takes seconds to import

    rows = []
    for name in SPLITS:
        split = dataset.split(name)
        share = CONTACT_IMAGES // 2 if name == "train" else CONTACT_IMAGES // 4
        rows.append(split.photographs(split.spread(share)).float() / 255)
    save_image(make_grid(torch.cat(rows), nrow=16, padding=2, pad_value=1.0), path)
    return path


def preview(colourise: Callable[[Tensor], Tensor], photographs: Tensor, path: Path) -> None:
    """Saves a grid whose rows are the grey input, the colourised and the true photographs.

    Args:
        colourise: L (B, 1, H, W) -> ab (B, 2, H, W).
        photographs: uint8 (B, 3, H, W).
    """
    from torchvision.utils import make_grid, save_image  # takes seconds to import

    L, ab = lab.to_network(photographs)
    rows = [
        lab.to_photographs(L, ab * 0),
        lab.to_photographs(L, colourise(L)),
        lab.to_photographs(L, ab),
    ]
    grid = make_grid(torch.cat(rows).float() / 255, nrow=len(photographs), padding=2, pad_value=1.0)
    save_image(grid, path)

"""Evaluates a colouriser on a split: the per-image table, mean metrics for validation, and sample photographs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from analysis.metrics import per_image
from common.colour import lab
from common.colour.metrics import MEASURED
from common.data.shards import Split

# L (B, 1, H, W) and, if it takes them, labels (B,) -> ab (B, 2, H, W), in the networks' scale
Colourise = Callable[..., Tensor]
# the colouriser's inputs, coloured and true photographs
Batches = Iterator[tuple[tuple[Tensor, ...], Tensor, Tensor]]
BATCH = 32
VERSIONS = 4  # per photograph, to measure the diversity of a colouriser with noise

# between versions of one photograph; an extra column, 0 for a colouriser without noise
DIVERSITY = "diversity"


def grey(L: Tensor) -> Tensor:
    """The baseline ab = 0."""
    return L.new_zeros(len(L), 2, *L.shape[2:])


def constant(ab: Tensor) -> Colourise:
    """The baseline that gives every pixel the same ab (2,), for instance the mean of the training split."""
    return lambda L: ab.to(L).view(1, 2, 1, 1).expand(len(L), 2, *L.shape[2:])


def mean_ab(train: Split, images: int = 2000) -> Tensor:
    """The mean ab (2,), in the networks' scale, over at most `images` training images spread evenly over the split."""
    positions = train.spread(images)
    total = torch.zeros(2, dtype=torch.float64)
    for chunk in np.array_split(positions, max(1, len(positions) // BATCH)):
        _, ab = lab.to_network(train.photographs(chunk))
        total += ab.double().mean(dim=(2, 3)).sum(dim=0)
    return (total / len(positions)).float()


@dataclass(frozen=True)
class Evaluation:
    """The result of one pass over a split: `table` has one row per image; `samples` are some of the colourised photographs."""

    table: pd.DataFrame
    samples: UInt8[np.ndarray, "n h w 3"]

    def means(self) -> dict[str, float]:
        """The mean of every metric over the images that have a finite value: identical photographs have PSNR inf."""
        finite = self.table[[*MEASURED, DIVERSITY]].replace([np.inf, -np.inf], np.nan).mean()
        return {str(name): float(value) for name, value in finite.items()}


@torch.no_grad()
def evaluate(
    colourise: Colourise,
    split: Split,
    device: torch.device | str = "cpu",
    samples: int = 0,
    labelled: bool = False,
    version: Colourise | None = None,
) -> Evaluation:
    """Computes all metrics of every image of a split, in order, and keeps `samples` photographs spread over it (`Split.spread`).

    Args:
        labelled: whether `colourise` is also given the labels.
        version: a colouriser that returns a new version at each call; if given, the diversity of the versions is measured too.
    """
    return measure(
        colourised(colourise, split, np.arange(len(split)), device, labelled),
        split,
        samples,
        version,
    )


@torch.no_grad()
def measure(
    batches: Batches, split: Split, samples: int = 0, version: Colourise | None = None
) -> Evaluation:
    """Evaluates photographs that are already colourised, in the split's order, as `colourised` yields them."""
    wanted = split.spread(samples)
    parts = []
    kept = []
    seen = 0
    for inputs, images, truth in batches:
        parts.append(
            per_image.all_metrics(images, truth) | {DIVERSITY: _diversity(version, *inputs)}
        )
        in_batch = wanted[(wanted >= seen) & (wanted < seen + len(images))] - seen
        kept.append(images[torch.from_numpy(in_batch).to(images.device)].permute(0, 2, 3, 1).cpu())
        seen += len(images)
    columns = {
        name: torch.cat([part[name] for part in parts]).double().cpu().numpy() for name in parts[0]
    }
    return Evaluation(
        pd.DataFrame(_names(split) | columns), np.ascontiguousarray(torch.cat(kept).numpy())
    )


def _names(split: Split) -> dict[str, list[str]]:
    entries = split.entries()
    labels = split.dataset.labels
    return {
        "image": [f"{entry.photograph}#{entry.tile}" for entry in entries],
        "photograph": [entry.photograph for entry in entries],
        "label": [labels[entry.label] if entry.label >= 0 else "" for entry in entries],
    }


@torch.no_grad()
def score(
    colourise: Colourise,
    split: Split,
    images: int,
    device: torch.device | str = "cpu",
    labelled: bool = False,
) -> dict[str, float]:
    """Mean metrics over at most `images` images spread over a split; cheap enough to run during training."""
    scored = colourised(colourise, split, split.spread(images), device, labelled)
    parts = [per_image.all_metrics(images, truth) for _, images, truth in scored]
    return {
        name: float(_finite_mean(torch.cat([part[name] for part in parts]))) for name in MEASURED
    }


def colourised(
    colourise: Colourise,
    split: Split,
    places: np.ndarray,
    device: torch.device | str,
    labelled: bool = False,
) -> Batches:
    """Yields batches of (colouriser's inputs, colourised, truth); the truth takes the same Lab round trip to uint8."""
    labels = torch.from_numpy(split.labels())
    for start in range(0, len(places), BATCH):
        chunk = places[start : start + BATCH]
        L, ab = lab.to_network(split.photographs(chunk).to(device))
        inputs = (L, labels[chunk].to(device)) if labelled else (L,)
        yield inputs, lab.to_photographs(L, colourise(*inputs)), lab.to_photographs(L, ab)


def _diversity(version: Colourise | None, L: Tensor, *labels: Tensor) -> Tensor:
    if version is None:
        return torch.zeros(len(L), device=L.device)
    return per_image.diversity(
        torch.stack([lab.join(L, version(L, *labels)) for _ in range(VERSIONS)])
    )


def _finite_mean(values: Tensor) -> Tensor:
    return values[torch.isfinite(values)].mean() if torch.isfinite(values).any() else values.mean()

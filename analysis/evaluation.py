"""A colouriser on a split: the per-image table, means for validation, and photographs to show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from analysis import metrics
from common import lab
from common.shards import Split

Colouriser = Callable[..., Tensor]  # L (B, 1, H, W) and, where it takes them, labels (B,) -> ab (B, 2, H, W), as networks see them
Batches = Iterator[tuple[tuple[Tensor, ...], Tensor, Tensor]]  # what a colouriser was given, coloured and true photographs
BATCH = 32
VERSIONS = 4  # of each photograph, to see how diverse a noisy colouriser is

METRICS = {  # name -> (title, direction: +1 higher is better, -1 lower is better, 0 descriptive)
    "psnr_rgb": ("PSNR (RGB), dB", 1),
    "psnr_ab": ("PSNR (ab), dB", 1),
    "ssim": ("SSIM", 1),
    "delta_e": ("ΔE₀₀", -1),
    "colourfulness_difference": ("mean |ΔCF|", -1),
    "colourfulness": ("colourfulness CF", 0),
    "chroma": ("mean chroma C*", 0),
    "grey_share": ("grey pixels", 0),
    "ab_distance": ("ab distance", -1),
    "bleeding": ("colour bleeding", 0),
    "lpips": ("LPIPS (AlexNet)", -1),  # where its weights are (`perceptual`)
}
MEASURED = tuple(name for name in METRICS if name != "lpips")  # by `evaluate`, without anybody's weights
DIVERSITY = "diversity"  # of versions of one photograph; a column of its own, 0 for a colouriser without noise


def grey(L: Tensor) -> Tensor:
    """The baseline ab = 0."""
    return L.new_zeros(len(L), 2, *L.shape[2:])


def constant(ab: Tensor) -> Colouriser:
    """The baseline that gives every pixel the same ab (2,), for instance the training split's mean."""
    return lambda L: ab.to(L).view(1, 2, 1, 1).expand(len(L), 2, *L.shape[2:])


def mean_ab(train: Split, images: int = 2000) -> Tensor:
    """The mean ab (2,), as networks see it, over at most `images` training images spread evenly."""
    places = np.linspace(0, len(train) - 1, num=min(images, len(train))).astype(int)
    total = torch.zeros(2, dtype=torch.float64)
    for chunk in np.array_split(places, max(1, len(places) // BATCH)):
        _, ab = lab.to_network(_tensor(train.centres(chunk)))
        total += ab.double().mean(dim=(2, 3)).sum(dim=0)
    return (total / len(places)).float()


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split found: `table` has a row an image, `samples` are some of the colourised photographs."""

    table: pd.DataFrame
    samples: UInt8[np.ndarray, "n h w 3"]


@torch.no_grad()
def evaluate(
    colourise: Colouriser,
    split: Split,
    device: torch.device | str = "cpu",
    samples: int = 0,
    labelled: bool = False,
    version: Colouriser | None = None,
) -> Evaluation:
    """All metrics of every image of a split, in its order, and `samples` photographs spread over it (see `sample_places`).

    Args:
        labelled: whether `colourise` is also given the labels.
        version: a colouriser that gives another version at each call; then the versions' diversity is measured too.
    """
    return measure(colourised(colourise, split, np.arange(len(split)), device, labelled), split, samples, version)


@torch.no_grad()
def measure(batches: Batches, split: Split, samples: int = 0, version: Colouriser | None = None) -> Evaluation:
    """The same of photographs that are coloured already, in the split's order, as `colourised` gives them."""
    wanted = sample_places(split, samples)
    parts, kept, seen = [], [], 0
    for inputs, images, truth in batches:
        parts.append(metrics.all_metrics(images, truth) | {DIVERSITY: _diversity(version, *inputs)})
        here = wanted[(wanted >= seen) & (wanted < seen + len(images))] - seen
        kept.append(images[torch.from_numpy(here).to(images.device)].permute(0, 2, 3, 1).cpu())
        seen += len(images)
    columns = {name: torch.cat([part[name] for part in parts]).double().cpu().numpy() for name in parts[0]}
    return Evaluation(pd.DataFrame(_names(split) | columns), np.ascontiguousarray(torch.cat(kept).numpy()))


def _names(split: Split) -> dict[str, list[str]]:
    entries, labels = split.entries(), split.dataset.labels
    return {
        "image": [f"{entry.photograph}#{entry.tile}" for entry in entries],
        "photograph": [entry.photograph for entry in entries],
        "label": [labels[entry.label] if entry.label >= 0 else "" for entry in entries],
    }


@torch.no_grad()
def score(
    colourise: Colouriser, split: Split, images: int, device: torch.device | str = "cpu", labelled: bool = False
) -> dict[str, float]:
    """Mean metrics over at most `images` images spread over a split; cheap enough to run during training."""
    places = np.linspace(0, len(split) - 1, num=min(images, len(split))).astype(int)
    parts = [metrics.all_metrics(found, truth) for _, found, truth in colourised(colourise, split, places, device, labelled)]
    return {name: float(_finite_mean(torch.cat([part[name] for part in parts]))) for name in MEASURED}


def sample_places(split: Split, count: int) -> np.ndarray:
    """`count` places spread evenly over a split: the same for every arm."""
    return np.unique(np.linspace(0, len(split) - 1, num=min(count, len(split))).astype(int))


def colourised(
    colourise: Colouriser, split: Split, places: np.ndarray, device: torch.device | str, labelled: bool = False
) -> Batches:
    """Batches of (what the colouriser is given, colourised, truth); the truth takes the same Lab round trip to uint8."""
    labels = torch.from_numpy(split.labels())
    for start in range(0, len(places), BATCH):
        here = places[start : start + BATCH]
        L, ab = lab.to_network(_tensor(split.centres(here)).to(device))
        inputs = (L, labels[here].to(device)) if labelled else (L,)
        yield inputs, lab.to_photographs(L, colourise(*inputs)), lab.to_photographs(L, ab)


def _diversity(version: Colouriser | None, L: Tensor, *labels: Tensor) -> Tensor:
    if version is None:
        return torch.zeros(len(L), device=L.device)
    return metrics.diversity(torch.stack([lab.join(L, version(L, *labels)) for _ in range(VERSIONS)]))


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def _finite_mean(values: Tensor) -> Tensor:
    return values[torch.isfinite(values)].mean() if torch.isfinite(values).any() else values.mean()

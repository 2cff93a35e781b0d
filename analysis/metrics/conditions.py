"""ΔE₀₀ and colourfulness under other conditions than a plain test: as old film sees the photographs, or with colour hints.

Under film the network is shown the film's lightness; the colours that it predicts are judged with the photograph's true lightness,
so that the figure is about colours alone.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.metrics import per_image
from common.colour import film, hints, lab
from common.data.shards import Split

Kind = Literal["films", "hints"]
# L (B, 1, H, W), labels (B,) or None, and hints (B, 3, H, W) or None -> ab (B, 2, H, W)
Colourise = Callable[..., Tensor]
PLAIN = "none"
HINTS = (0, 1, 2, 5, 10, 20, 50)  # points of true colour
WORN = film.Shot(film.FILMS["orthochromatic"], grain=5.0, fading=0.35)  # an old print
BATCH = 32
METRICS = ("delta_e", "colourfulness")


def names(kinds: Sequence[Kind], takes_hints: bool) -> list[str]:
    """The conditions of some kinds, in the order of their tables; a generator that takes no hints is only tested without."""
    films = [PLAIN, *film.FILMS, "worn_print"] if "films" in kinds else []
    counts = HINTS if takes_hints else HINTS[:1]
    return films + ([f"hints_{count}" for count in counts] if "hints" in kinds else [])


@torch.no_grad()
def measure(
    colourise: Colourise,
    split: Split,
    conditions: Sequence[str],
    device: torch.device | str,
    labelled: bool = False,
) -> pd.DataFrame:
    """One row for each image and condition: condition, image, photograph, delta_e, colourfulness."""
    labels = torch.from_numpy(split.labels())
    entries = split.entries()
    parts = []
    for start in range(0, len(split), BATCH):
        places = np.arange(start, min(start + BATCH, len(split)))
        rgb = split.photographs(places).to(device)
        label = labels[places].to(device) if labelled else None
        about = {
            "image": [f"{entries[place].photograph}#{entries[place].tile}" for place in places],
            "photograph": [entries[place].photograph for place in places],
        }
        for condition in conditions:
            figures = _figures(colourise, rgb, label, condition, places.tolist())
            parts.append(pd.DataFrame({"condition": condition, **about, **figures}))
    return pd.concat(parts, ignore_index=True)


def _figures(
    colourise: Colourise, rgb: Tensor, label: Tensor | None, condition: str, places: Sequence[int]
) -> dict[str, np.ndarray]:
    L, ab = lab.to_network(rgb)
    count = int(condition.removeprefix("hints_")) if condition.startswith("hints_") else 0
    given = hints.revealed(ab, count, places) if count else None
    predicted = colourise(_seen(rgb, L, condition, places), label, given)
    images = lab.to_photographs(L, predicted)
    truth = lab.to_photographs(L, ab)
    measured = per_image.all_metrics(images, truth)
    return {name: measured[name].double().cpu().numpy() for name in METRICS}


def _seen(rgb: Tensor, L: Tensor, condition: str, places: Sequence[int]) -> Tensor:
    """The lightness that the network is shown; grain depends on the image alone."""
    if condition == "worn_print":
        return film.expose(
            rgb, [film.Shot(WORN.weights, WORN.grain, WORN.fading, place) for place in places]
        )
    if condition in film.FILMS:
        return film.expose(rgb, [film.Shot(film.FILMS[condition])] * len(rgb))
    return L

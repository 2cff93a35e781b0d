"""Pictures that people scored elsewhere: how well each metric, and a combination of metrics, agrees with the scores.

A scene is one photograph; its pictures are versions of it. Ranks are compared within scenes, for scenes differ in difficulty.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from scipy import stats
from torch import Tensor

from analysis.metrics import per_image
from analysis.statistics.crossed import LEVEL
from common.colour.metrics import METRICS
from common.data.decoding import images
from common.errors import ColourbenchError

COMBINED = "combination"
RIDGE = 10.0  # of the combination's weights: few scenes cannot tell alike metrics apart
LARGEST_PSNR = 60.0  # dB, where a picture is the reference itself
STATISTICS: Mapping[str, Callable[..., Any]] = {
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}


def measure(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Adds every metric of each picture against its reference.

    Args:
        table: columns reference and image, file names within `folder`.

    Raises:
        ColourbenchError: a file is missing or no image, or a picture and its reference differ in size.
    """
    references = {name: _load(folder / name) for name in table["reference"].unique()}
    rows = []
    for image, reference in zip(table["image"], table["reference"], strict=True):
        picture = _load(folder / image)
        if picture.shape != references[reference].shape:
            raise ColourbenchError(f"{folder / image} and its reference {reference} differ in size")
        rows.append(
            {
                name: float(value)
                for name, value in per_image.all_metrics(picture, references[reference]).items()
            }
        )
    values = pd.DataFrame(rows, index=table.index)
    psnr = ["psnr_rgb", "psnr_ab"]
    values[psnr] = values[psnr].clip(upper=LARGEST_PSNR)
    return pd.concat([table, values[[name for name in METRICS if name in values]]], axis=1)


def _load(path: Path) -> UInt8[Tensor, "1 3 h w"]:
    if not path.is_file():
        raise ColourbenchError(f"there is no image {path}")
    return torch.from_numpy(np.array(images.decode(path).rgb)).permute(2, 0, 1)[None]


def by_scene(measured: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rank correlations of each metric with the scores, scene by scene: columns scene, metric, spearman, kendall, n."""
    rows = []
    for scene, group in measured.groupby("reference"):
        for name in names:
            correlations = {
                s: float(f(group["score"], group[name]).statistic) for s, f in STATISTICS.items()
            }
            rows.append({"scene": scene, "metric": name, **correlations, "n": len(group)})
    return pd.DataFrame(rows, columns=["scene", "metric", *STATISTICS, "n"])


def combine(measured: pd.DataFrame, names: Sequence[str]) -> Float[np.ndarray, " n"]:
    """A linear combination of metrics for each picture, fitted to the other scenes' scores (leave one scene out).

    Metrics and scores are standardised within scenes; the weights are a ridge regression's.

    Raises:
        ColourbenchError: fewer than three scenes.
    """
    if measured["reference"].nunique() < 3:
        raise ColourbenchError(
            "a combination needs three scenes or more, for each is judged by the others"
        )
    scaled = measured.copy()
    for _, group in measured.groupby("reference"):
        scaled.loc[group.index, [*names, "score"]] = group[[*names, "score"]].apply(_standardised)
    X = scaled[list(names)].to_numpy(float)
    y = scaled["score"].to_numpy(float)
    combined = np.zeros(len(measured))
    for scene in measured["reference"].unique():
        held = (measured["reference"] == scene).to_numpy()
        combined[held] = X[held] @ weights(X[~held], y[~held])
    return combined


def weights(
    X: Float[np.ndarray, "n metrics"], y: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " metrics"]:
    """Ridge regression without a constant."""
    solution: np.ndarray = np.linalg.solve(X.T @ X + RIDGE * np.eye(X.shape[1]), X.T @ y)
    return solution


def compared(measured: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Each metric's agreement over scenes, and by how much the combination agrees better: means with 95 % intervals (Student's t).

    Columns metric, spearman, low, high, and gain, gain_low, gain_high: the combination's mean correlation less the metric's.
    A metric that is better where it is lower counts with its sign turned.
    """
    table = measured.assign(**{COMBINED: combine(measured, names)})
    correlations = by_scene(table, [*names, COMBINED]).pivot(
        index="scene", columns="metric", values="spearman"
    )
    for name in names:
        correlations[name] *= METRICS[name].direction or 1
    rows = []
    for name in [*names, COMBINED]:
        low, high = _interval(correlations[name])
        gain = correlations[COMBINED] - correlations[name]
        row = {
            "metric": name,
            "spearman": float(correlations[name].mean()),
            "low": low,
            "high": high,
        }
        gain_low, gain_high = _interval(gain) if name != COMBINED else (0.0, 0.0)
        rows.append(
            row | {"gain": float(gain.mean()), "gain_low": gain_low, "gain_high": gain_high}
        )
    return pd.DataFrame(rows).sort_values("spearman", ascending=False, ignore_index=True)


def _interval(values: pd.Series) -> tuple[float, float]:
    half = float(
        stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    )
    return float(values.mean()) - half, float(values.mean()) + half


def _standardised(values: pd.Series) -> pd.Series:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else values * 0.0

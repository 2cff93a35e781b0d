"""Any colouriser's pictures against the truth: two folders, paired by relative path, measured as this suite or others measure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from PIL import Image
from scipy import stats
from torch import Tensor

from analysis.metrics import conventions, per_image, perceptual
from analysis.metrics.conventions import CONVENTIONS, Rarity
from analysis.statistics.crossed import LEVEL
from common.colour import lab
from common.colour.metrics import METRICS
from common.data.decoding.images import SUFFIXES, BadImage, decode
from common.data.sources.files import images_below
from common.errors import ColourbenchError
from common.system.text import some_of

BATCH = 16
JPEG = (".jpg", ".jpeg", ".jfif")


@dataclass(frozen=True)
class Pairs:
    """Pictures and their truths, by relative path without the extension."""

    images: dict[str, Path]
    truth: dict[str, Path]
    superfluous: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """What a reader must know about these figures."""
        remarks = []
        if self.superfluous:
            remarks.append(
                f"{len(self.superfluous)} pictures have no truth and are ignored: {some_of(self.superfluous)}"
            )
        compressed = [name for name, path in self.images.items() if path.suffix.lower() in JPEG]
        if compressed:
            remarks.append(
                f"{len(compressed)} pictures are JPEG files, whose compression counts as an error of colour (the truth itself, "
                "saved as JPEG of quality 75, has ΔE₀₀ 3.5 and PSNR 33.8 at 32 px): save results as PNG"
            )
        return remarks


def pair(images: Path, truth: Path) -> Pairs:
    """Pairs the files of two folders.

    Raises:
        ColourbenchError: a folder does not exist or is empty, a truth has no picture, or one name is there twice.
    """
    theirs = _files(images)
    real = _files(truth)
    if missing := sorted(real.keys() - theirs.keys()):
        raise ColourbenchError(
            f"{images} has no picture for {len(missing)} of {len(real)} photographs of {truth}: {some_of(missing)}; "
            "a mean over the others would compare with nothing"
        )
    names = sorted(real)
    return Pairs(
        images={name: theirs[name] for name in names},
        truth={name: real[name] for name in names},
        superfluous=sorted(theirs.keys() - real.keys()),
    )


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ColourbenchError(f"there is no folder {folder}")
    files: dict[str, Path] = {}
    for path in images_below(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        if name in files:
            raise ColourbenchError(
                f"{folder} has {name} twice, as {files[name].name} and {path.name}; keep one"
            )
        files[name] = path
    if not files:
        raise ColourbenchError(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    return files


Batch = tuple[list[str], Tensor, Tensor]  # names, pictures and truths (B, 3, H, W)


@dataclass
class Reader:
    """Reads pairs in batches of one size.

    Args:
        fits: whether a picture of another size than its truth is resized to it, as `resized` then says, and not refused.
    """

    pairs: Pairs
    fits: bool = False
    resized: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[Batch]:
        """Yields the pairs in their order, at most 16 of one size together.

        Raises:
            ColourbenchError: a file cannot be decoded, or a picture has another size than its truth.
        """
        self.resized = []
        waiting: list[tuple[str, np.ndarray, np.ndarray]] = []
        for name, path in self.pairs.truth.items():
            truth = _read(path)
            if waiting and (len(waiting) == BATCH or waiting[0][2].shape != truth.shape):
                yield _stacked(waiting)
                waiting = []
            waiting.append((name, self._picture(name, truth.shape), truth))
        if waiting:
            yield _stacked(waiting)

    def _picture(self, name: str, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
        path = self.pairs.images[name]
        picture = _read(path)
        if picture.shape == shape:
            return picture
        height, width = shape[:2]
        if not self.fits:
            raise ColourbenchError(
                f"{path} has {picture.shape[1]}x{picture.shape[0]} pixels and its truth {width}x{height}; "
                "give pictures of the truth's size, or say --resize"
            )
        self.resized.append(name)
        scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(scaled)


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        return decode(path).rgb
    except BadImage as error:
        raise ColourbenchError(f"{path}: {error}") from None


def _stacked(waiting: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Batch:
    names = [name for name, _, _ in waiting]
    pictures, truths = (
        torch.from_numpy(np.stack([one[place] for one in waiting])).permute(0, 3, 1, 2)
        for place in (1, 2)
    )
    return names, pictures.contiguous(), truths.contiguous()


@torch.no_grad()
def measure(reader: Reader) -> pd.DataFrame:
    """This suite's figures of each picture: columns image and the metrics, LPIPS where its weights are here."""
    compare = perceptual.networks().compare
    parts = []
    for names, images, truth in reader.batches():
        figures: dict[str, Any] = dict(per_image.all_metrics(images, truth))
        if compare:
            figures[perceptual.LPIPS] = compare(images, truth)
        columns = {name: values.double().numpy() for name, values in figures.items()}
        parts.append(pd.DataFrame({"image": names} | columns))
    return pd.concat(parts, ignore_index=True)


@torch.no_grad()
def measure_sets(reader: Reader) -> pd.DataFrame:
    """Distances between the sets, by the networks whose weights are here: columns figure, value, half (of the 95 % interval)."""
    available = perceptual.networks()
    if not available.extract:
        return pd.DataFrame(columns=["figure", "value", "half"])
    batches = ((None, images, truth) for _, images, truth in reader.batches())
    only_features = perceptual.Networks(None, available.extract)
    measured = perceptual.measure(batches, only_features)
    rows = []
    for network, figures in measured.sets(list(reader.pairs.truth)).items():
        named = perceptual.SET_METRICS[network]
        rows.append((named.frechet, figures.frechet, figures.frechet_error))
        rows.append((named.kernel, figures.kernel, figures.kernel_error))
    quantile = float(stats.norm.ppf(1 - LEVEL / 2))
    table = pd.DataFrame(rows, columns=["figure", "value", "half"])
    return table.assign(half=table["half"] * quantile)


@torch.no_grad()
def measure_as(reader: Reader, convention: str) -> pd.DataFrame:
    """Each picture's figures as another evaluation computes them (`conventions.CONVENTIONS`)."""
    if convention == "zhang":
        return _areas(reader)
    figures = CONVENTIONS[convention].figures
    parts = []
    for names, images, truth in reader.batches():
        columns = {name: figure(images, truth).numpy() for name, figure in figures.items()}
        parts.append(pd.DataFrame({"image": names} | columns))
    return pd.concat(parts, ignore_index=True)


def _areas(reader: Reader) -> pd.DataFrame:
    """Zhang's AuC: the first pass counts the true colours, the second weights them."""
    rarity = Rarity()
    for _, _, truth in reader.batches():
        rarity.add(lab.rgb_to_lab(truth))
    parts = []
    for names, images, truth in reader.batches():
        of_pictures = lab.rgb_to_lab(images)
        of_truths = lab.rgb_to_lab(truth)
        areas = conventions.area_under_curve(of_pictures, of_truths, rarity)
        parts.append(pd.DataFrame({"image": names} | areas))
    return pd.concat(parts, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over photographs with their 95 % intervals (Student's t): columns figure, value, half, without.

    `without` counts the pictures whose figure is not finite: the PSNR of identical pictures.
    """
    figures = [name for name in table.columns if name != "image"]
    return pd.DataFrame([_mean_row(_title(name), table[name]) for name in figures])


def summary_as(table: pd.DataFrame, convention: str) -> pd.DataFrame:
    """The same as another evaluation prints it: ΔCF of means, rebalanced AuC over all pixels."""
    if convention == "zhang":
        plain = _mean_row("AuC", table["auc"])
        return pd.DataFrame([plain, _rebalanced_row(table)])
    rows = summary(table)
    if CONVENTIONS[convention].by_means:
        ours = table["colourfulness, |rg| and |yb|"].mean()
        difference = abs(ours - table["… of the truth"].mean())
        named = {"figure": "ΔCF, of the means", "value": difference, "half": np.nan, "without": 0}
        rows = pd.concat([rows, pd.DataFrame([named])], ignore_index=True)
    return rows


def _rebalanced_row(table: pd.DataFrame) -> dict[str, Any]:
    """The ratio of two sums over photographs, with the interval of its linearisation."""
    weighted = table["auc_weighted"].to_numpy()
    weights = table["auc_weights"].to_numpy()
    ratio = weighted.sum() / weights.sum()
    residual = (weighted - ratio * weights) / weights.mean()
    half = _half(residual)
    return {"figure": "AuC, rebalanced", "value": float(ratio), "half": half, "without": 0}


def _mean_row(title: str, column: pd.Series) -> dict[str, Any]:
    values = column.to_numpy(float)
    finite = values[np.isfinite(values)]
    return {
        "figure": title,
        "value": float(finite.mean()) if len(finite) else np.nan,
        "half": _half(finite),
        "without": len(values) - len(finite),
    }


def _half(values: np.ndarray) -> float:
    count = len(values)
    if count < 2:
        return float("nan")
    return float(stats.t.ppf(1 - LEVEL / 2, count - 1) * stats.sem(values))


def _title(name: str) -> str:
    if name in METRICS:
        return METRICS[name].arrow
    of_truth = name.removesuffix("_truth")
    return f"{METRICS[of_truth].label} of the truth" if of_truth in METRICS else name

"""Colour, data and metrics against the field's usual tools: scikit-image, torchvision's ImageFolder."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from analysis.metrics import per_image
from common.colour import lab
from common.data import preparation
from common.data.batches import BatchConfig, Batches
from common.data.manifest import ShardConfig
from common.data.shards import Dataset
from common.data.sources import published
from studies.bench.result import Result, of_times
from studies.bench.timing import alternate, timed

BATCH = 16
MARGIN = 30  # pix2pix enlarges to 286 and crops 256
PHOTOGRAPHS = 48
SOURCE = 480  # pixels of a photograph's side, about COCO's


def lab_conversion(size: int, rounds: int, target: float | None) -> Result:
    """Measures the conversion of a uint8 batch to Lab and back, on one thread."""
    images = fields(BATCH, size)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)

    def plain() -> list[np.ndarray]:
        return [color.lab2rgb(color.rgb2lab(image)) for image in images]

    def product() -> Tensor:
        return lab.lab_to_rgb(lab.rgb_to_lab(batch))

    lab_difference = max(
        float(np.abs(color.rgb2lab(i) - t.permute(1, 2, 0).numpy()).max())
        for i, t in zip(images, lab.rgb_to_lab(batch), strict=True)
    )
    rgb_difference = max(
        float(np.abs(a - b.permute(1, 2, 0).numpy()).max())
        for a, b in zip(plain(), product(), strict=True)
    )
    with one_thread():
        times = alternate(timed(plain), timed(product), rounds)
    checked = (
        f"largest difference {lab_difference:.1e} in Lab, {rgb_difference:.1e} in RGB of [0, 1]"
    )
    return of_times(
        f"RGB to Lab and back, {size} px, one thread", "scikit-image", times, BATCH, target, checked
    )


def photograph_to_batch(size: int, rounds: int, target: float | None) -> Result:
    """Measures training batches, cropped and flipped at random, in the networks' Lab: from prepared shards, against JPEG files.

    Shards save decoding and resizing, which preparation did once; the result states how long that took.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = write_photographs(Path(root) / "photographs", SOURCE)
        started = time.perf_counter()
        dataset = prepared(folder, Path(root) / "shards", size, MARGIN)
        preparing = (time.perf_counter() - started) / PHOTOGRAPHS
        product = Batches(dataset.split("train"), BatchConfig(size=BATCH), 0)
        plain = iter(
            _endless(
                DataLoader(
                    ImageFolder(str(folder), _plain_transform(size)),
                    BATCH,
                    shuffle=True,
                    drop_last=True,
                )
            )
        )
        difference = _decoded_difference(Path(root), size)
        times = alternate(timed(lambda: next(plain)), timed(lambda: next(product)), rounds)
    checked = f"largest difference of a photograph {difference:.1e} in [-1, 1]; preparing took {preparing * 1e3:.0f} ms each, once"
    name = f"photograph to batch, {size} px, from shards and from JPEG files"
    return of_times(name, "ImageFolder + scikit-image", times, BATCH, target, checked)


def per_image_metrics(size: int, rounds: int, target: float | None) -> Result:
    """Measures PSNR, SSIM, CIEDE2000 and colourfulness of a batch."""
    truth = fields(BATCH, size)
    noise = np.random.default_rng(1).normal(0, 12, truth.shape)
    images = np.clip(truth + noise, 0, 255).astype(np.uint8)
    pair = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in (images, truth)]

    def plain() -> np.ndarray:
        return np.array([_plain_metrics(a, b) for a, b in zip(images, truth, strict=True)])

    def product() -> Tensor:
        return _our_metrics(*pair)

    difference = float(np.abs(product().numpy() / plain() - 1).max())
    times = alternate(timed(plain), timed(product), rounds)
    threads = torch.get_num_threads()
    name = f"PSNR, SSIM, ΔE00 and colourfulness, {size} px, {threads} threads"
    checked = f"largest relative difference {difference:.1e}"
    return of_times(name, "scikit-image", times, BATCH, target, checked)


def _our_metrics(images: Tensor, truth: Tensor) -> Tensor:
    delta_e = per_image.delta_e(lab.rgb_to_lab(images), lab.rgb_to_lab(truth))
    metrics = [
        per_image.psnr(images, truth),
        per_image.ssim(images, truth),
        delta_e,
        per_image.colourfulness(images),
    ]
    return torch.stack([figures.double() for figures in metrics], dim=1)


def write_photographs(folder: Path, size: int) -> Path:
    """Writes JPEG files into one class folder."""
    (folder / "all").mkdir(parents=True)
    for number, image in enumerate(fields(PHOTOGRAPHS, size)):
        Image.fromarray(image).save(folder / "all" / f"{number:03d}.jpg", quality=95)
    return folder


def prepared(photographs: Path, shards: Path, size: int, margin: int = 0) -> Dataset:
    """Prepares a folder of photographs as a data set."""
    config = ShardConfig(size=size, margin=margin, validation=0.05, test=0.05)
    return preparation.prepare(published.list_files("folder", photographs), shards, config)


def fields(count: int, size: int) -> np.ndarray:
    """Returns colourful smooth pictures with some noise, (count, size, size, 3) uint8."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = draw.uniform(0.5, 3, (count, 3, 2)) * 2 * np.pi
    phase = draw.uniform(0, 2 * np.pi, (count, 3, 1, 1))
    smooth = np.sin(waves[..., :1, None] * x + waves[..., 1:, None] * y + phase)
    noisy = 127 + 90 * smooth + draw.normal(0, 4, smooth.shape)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain_metrics(image: np.ndarray, truth: np.ndarray) -> list[float]:
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = structural_similarity(truth, image, channel_axis=2, data_range=255, **wang)
    delta_e = color.deltaE_ciede2000(color.rgb2lab(truth), color.rgb2lab(image)).mean()
    R, G, B = np.moveaxis(image.astype(float), 2, 0)
    rg = R - G
    yb = (R + G) / 2 - B
    colourful = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    return [peak_signal_noise_ratio(truth, image, data_range=255), ssim, delta_e, colourful]


def _plain_transform(size: int) -> transforms.Compose:
    steps = [
        transforms.Resize(size + MARGIN),
        transforms.RandomCrop(size),
        transforms.RandomHorizontalFlip(),
        _to_plain_lab,
    ]
    return transforms.Compose(steps)


def _to_plain_lab(image: Image.Image) -> tuple[Tensor, Tensor]:
    converted = torch.from_numpy(color.rgb2lab(np.asarray(image)).astype(np.float32)).permute(
        2, 0, 1
    )
    return converted[:1] / lab.L_CENTRE - 1, converted[1:] / lab.AB_RANGE


def _endless(loader: DataLoader[object]) -> Iterator[object]:
    while True:
        yield from loader


def _decoded_difference(root: Path, size: int) -> float:
    """Returns the largest difference in L and ab for a photograph of that size, which neither way enlarges."""
    folder = write_photographs(root / "exact", size)
    dataset = prepared(folder, root / "exact shards", size)
    stored = torch.from_numpy(dataset.split("train").centres(np.array([0])))
    L, ab = lab.to_network(stored.permute(0, 3, 1, 2))
    plain = (
        _to_plain_lab(Image.open(path).convert("RGB"))
        for path in sorted((folder / "all").iterdir())
    )
    return min(max(float((L[0] - a).abs().max()), float((ab[0] - b).abs().max())) for a, b in plain)

"""FID, KID and LPIPS against float64 references; the extractors are small random ones, for the mathematics knows no weights."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import nn

from analysis.metrics import perceptual, weights
from analysis.metrics.perceptual import Networks


def features(n: int = 40, size: int = 6, shift: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    truth = torch.randn(n, size, generator=draw)
    return truth * 1.2 + shift + 0.3 * torch.randn(n, size, generator=draw), truth


def test_fid_is_scipys_frechet_distance() -> None:
    coloured, truth = (x.double().numpy() for x in features())
    covariances = [np.cov(x, rowvar=False) for x in (coloured, truth)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = ((coloured.mean(axis=0) - truth.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert perceptual.fid(*features()) == pytest.approx(expected, rel=1e-6)
    assert perceptual.fid(features()[1], features()[1]) == pytest.approx(0, abs=1e-6)


def naive_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Bińkowski et al. 2018, the unbiased estimate, pair by pair."""
    n, d = x.shape

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b) / d + 1) ** 3

    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return float(within - 2 * sum(k(a, b) for a in x for b in y) / n**2)


def test_kid_and_its_jackknife_are_the_naive_ones() -> None:
    coloured, truth = (x.double().numpy() for x in features(n=15))
    value, error = perceptual.kid(*features(n=15))
    assert value == pytest.approx(naive_kid(coloured, truth), rel=1e-6)
    left_out = [naive_kid(np.delete(coloured, i, axis=0), np.delete(truth, i, axis=0)) for i in range(15)]
    assert error == pytest.approx(math.sqrt(14 * np.var(left_out)), rel=1e-6)


def test_kid_of_one_distribution_is_about_zero_and_its_interval_covers() -> None:
    covered = []
    for seed in range(200):
        draw = torch.Generator().manual_seed(seed)
        one, other = torch.randn(60, 4, generator=draw), torch.randn(60, 4, generator=draw)
        figures = perceptual.set_figures(one, other)
        covered.append(figures.kid_low <= 0 <= figures.kid_high)
    assert 0.88 <= np.mean(covered) <= 1.0  # MMD² at 0 is skewed: an interval by the normal law is only about right


def test_few_photographs_have_no_figures() -> None:
    assert math.isnan(perceptual.set_figures(*features(n=2)).fid)


def test_over_seeds() -> None:
    mean, half = perceptual.over_seeds([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert half == pytest.approx(float(stats.t.ppf(0.975, 2) * np.std([1, 2, 4], ddof=1) / math.sqrt(3)))
    assert math.isnan(perceptual.over_seeds([1.0])[1])


def test_measure_asks_for_the_truth_once() -> None:
    asked: list[int] = []

    def extract(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return images.float().mean(dim=(2, 3))

    images = torch.randint(0, 255, (8, 3, 16, 16), dtype=torch.uint8)
    batches = [((images,), images[:4], images[4:]), ((images,), images[4:], images[:4])]
    networks = Networks(lambda one, other: (one.float() - other.float()).abs().mean(dim=(1, 2, 3)), extract)
    first = perceptual.measure(batches, networks)
    assert first.lpips is not None and first.lpips.shape == (8,) and first.sets is not None and first.sets.n == 8
    again = perceptual.measure(batches, networks, first.truth)
    assert len(asked) == 4 + 2 and again.sets == first.sets
    none = perceptual.measure(batches, Networks(None, None))
    assert none.lpips is None and none.sets is None and len(Networks(None, None).missing) == 2


@pytest.fixture
def alexnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A random AlexNet in torch's cache, under the published name and with a checksum that fits."""
    from torchvision.models import alexnet as build

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    network: nn.Module = build(weights=None)
    weights.ALEXNET.file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), weights.ALEXNET.file)
    monkeypatch.setattr(weights.Weights, "digits", property(lambda self: ""))
    return network.eval()


def naive_lpips(network: Any, linear: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> float:
    """Zhang et al. 2018, eq. 1, in float64: unit-normalised channels, squared differences, learnt weights, means over places."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    x, y = (((image.double() / 127.5 - 1) - shift) / scale for image in (a, b))
    total, layer = 0.0, 0
    for module in network.double().features:
        x, y = module(x[None] if x.ndim == 3 else x), module(y[None] if y.ndim == 3 else y)
        if isinstance(module, nn.ReLU):
            u, v = (z / (z.square().sum(dim=1, keepdim=True).sqrt() + 1e-8) for z in (x, y))
            w = linear[f"lin{layer}.model.1.weight"].double()
            total += float(((u - v).square() * w).sum(dim=1).mean().detach())
            layer += 1
    return total


def test_lpips_is_the_papers_formula(alexnet: nn.Module) -> None:
    import torchmetrics.functional.image as package

    draw = torch.Generator().manual_seed(1)
    a, b = torch.randint(0, 255, (2, 3, 3, 64, 64), dtype=torch.uint8, generator=draw)
    distances = perceptual.lpips_network()(a, b)
    linear = torch.load(Path(package.__file__).parent / "lpips_models" / "alex.pth", weights_only=True, map_location="cpu")
    expected = [naive_lpips(alexnet, linear, one, other) for one, other in zip(a, b, strict=True)]
    assert distances.tolist() == pytest.approx(expected, rel=1e-3)
    assert perceptual.lpips_network()(a, a).abs().max() == 0
    assert perceptual.networks().extract is None and perceptual.networks().compare is not None

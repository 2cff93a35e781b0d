"""LPIPS against a float64 reference, and the networks behind distances between sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from analysis.metrics import distances, perceptual, weights
from analysis.metrics.perceptual import Networks
from common.networks.packaged_weights import PACKAGES


def test_measure_asks_for_the_truth_once() -> None:
    asked: list[int] = []

    def extract(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return images.float().mean(dim=(2, 3))

    images = torch.randint(0, 255, (8, 3, 16, 16), dtype=torch.uint8)
    batches = [((images,), images[:4], images[4:]), ((images,), images[4:], images[:4])]
    networks = Networks(
        lambda one, other: (one.float() - other.float()).abs().mean(dim=(1, 2, 3)),
        {"lite0": extract},
    )
    first = perceptual.measure(batches, networks)
    names = [str(number) for number in range(8)]
    figures = first.sets(names)
    assert first.lpips is not None and first.lpips.shape == (8,) and figures["lite0"].n == 8
    again = perceptual.measure(batches, networks, first.truth)
    assert len(asked) == 4 + 2 and again.sets(names) == figures
    none = perceptual.measure(batches, Networks(None, {}))
    assert none.lpips is None and none.sets(names) == {}
    assert [line.partition(":")[0] for line in Networks(None, {}).missing] == [
        "LPIPS",
        "FID and KID",
        "FD, EfficientNet-Lite0 and KD, EfficientNet-Lite0",
    ]


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


def naive_lpips(
    network: Any, linear: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor
) -> float:
    """Zhang et al. 2018, eq. 1, in float64: unit-normalised channels, squared differences, learnt weights, means over places."""
    shift, scale = (
        torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1),
        torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1),
    )
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
    linear = torch.load(
        Path(package.__file__).parent / "lpips_models" / "alex.pth",
        weights_only=True,
        map_location="cpu",
    )
    expected = [naive_lpips(alexnet, linear, one, other) for one, other in zip(a, b, strict=True)]
    assert distances.tolist() == pytest.approx(expected, rel=1e-3)
    assert perceptual.lpips_network()(a, a).abs().max() == 0
    assert (
        "inception" not in perceptual.networks().extract
        and perceptual.networks().compare is not None
    )


HARMS = {
    "noise": lambda x, strength: (
        x + 40 * strength * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    ),
    "blur": lambda x, strength: gaussian_blur(x, [15, 15], [2.0 * strength, 2.0 * strength]),
    "grey": lambda x, strength: x + strength * (x.mean(dim=1, keepdim=True) - x),
    "saturation": lambda x, strength: x + 1.5 * strength * (x - x.mean(dim=1, keepdim=True)),
}


@pytest.mark.skipif(
    not PACKAGES["lite0"].is_here,
    reason="EfficientNet-Lite0's weights are not installed ('.[weights]')",
)
@pytest.mark.parametrize("harm", list(HARMS))
def test_distances_with_lite0s_features_grow_with_every_harm(
    harm: str, make_photograph: Callable[..., np.ndarray]
) -> None:
    pictures = np.stack([make_photograph(seed, (64, 64)) for seed in range(32)])
    truth = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    extract = perceptual.lite0()

    @torch.no_grad()
    def features(strength: float) -> torch.Tensor:
        harmed = HARMS[harm](truth, strength) if strength else truth
        return extract(harmed.clamp(0, 255).round().to(torch.uint8))

    true = features(0)
    harmed = [features(strength) for strength in (0.33, 0.66, 1.0)]
    frechet = [distances.frechet_distance(one, true) for one in harmed]
    kernel = [distances.kernel_distance(one, true)[0] for one in harmed]
    assert 0.1 < frechet[0] < frechet[1] < frechet[2]
    assert 0 < kernel[0] < kernel[1] < kernel[2]

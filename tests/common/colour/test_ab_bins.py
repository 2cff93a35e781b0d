"""Quantised ab against formulas written out in numpy."""

import numpy as np
import pytest
import torch
from skimage import color

from common.colour import lab
from common.colour.ab_bins import AbBins

BINS = AbBins(10.0)


def pixels(ab: torch.Tensor) -> np.ndarray:
    """ab in Lab units, a row a pixel."""
    return lab.join(ab[:, :1], ab)[:, 1:].permute(0, 2, 3, 1).reshape(-1, 2).double().numpy()


def test_bins_are_those_that_srgb_fills() -> None:
    """The whole cube of 256³ colours fills 261 bins of width 10; skimage's Lab of a random tenth of a million finds no other."""
    assert len(BINS) == 261
    rgb = np.random.default_rng(0).integers(0, 256, size=(100_000, 3), dtype=np.uint8)
    centres = np.unique(np.round(color.rgb2lab(rgb)[:, 1:] / 10), axis=0) * 10
    known = {tuple(centre) for centre in BINS.centres.tolist()}
    assert {tuple(centre) for centre in centres.tolist()} <= known


def test_annealed_mean() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, len(BINS), 3, 4, dtype=torch.float64)
    p = np.exp(logits.numpy() / 0.38)
    p /= p.sum(axis=1, keepdims=True)
    expected = np.einsum("bqhw,qc->bchw", p, BINS.centres.numpy())
    mean = lab.join(logits[:, :1], BINS.annealed_mean(logits, 0.38))[:, 1:]
    assert np.allclose(mean.numpy(), expected, atol=1e-3)  # the bins are float32
    mode = lab.join(logits[:, :1], BINS.annealed_mean(logits, 1e-4))[:, 1:]
    assert torch.allclose(
        mode[0, :, 1, 2].float(), BINS.centres[logits[0, :, 1, 2].argmax()], atol=1e-3
    )


def test_a_certain_answer_gives_its_colour_back() -> None:
    """Encoding a bin's own colour and decoding it with a sharp temperature is the identity."""
    index = 100
    logits = torch.full((1, len(BINS), 1, 1), -50.0)
    logits[0, index] = 50.0
    ab = BINS.annealed_mean(logits, 1.0)
    nearest, weights = BINS.encode(ab)
    assert int(nearest[0, 0]) == index and weights[0, 0] == weights[0].max()


def test_soft_encoding_is_a_gaussian_over_the_five_nearest() -> None:
    ab = torch.rand(2, 2, 3, 3) - 0.5
    nearest, weights = BINS.encode(ab)
    for row, colour in enumerate(pixels(ab)):
        distance = np.linalg.norm(BINS.centres.numpy() - colour, axis=1)
        order = np.argsort(distance)[:5]
        expected = np.exp(-(distance[order] ** 2) / 50)
        assert sorted(nearest[row].tolist()) == sorted(order.tolist())
        assert weights[row].tolist() == pytest.approx(
            (expected / expected.sum()).tolist(), abs=1e-4
        )


def test_rare_colours_weigh_more_and_the_mean_weight_is_one() -> None:
    ab = torch.randn(4, 2, 32, 32).mul(0.05)
    weights = BINS.rarity_weights(ab, 0.5)
    grey = int((BINS.centres.norm(dim=1)).argmin())
    far = int((BINS.centres.norm(dim=1)).argmax())
    assert weights[far] > 5 * weights[grey]
    counts = np.zeros(len(BINS))
    for colour in pixels(ab):
        counts[np.argmin(np.linalg.norm(BINS.centres.numpy() - colour, axis=1))] += 1
    kernel = np.exp(
        -((BINS.centres.numpy()[:, None] - BINS.centres.numpy()[None]) ** 2).sum(-1) / 50
    )
    smooth = (kernel / kernel.sum(axis=0)) @ (counts / counts.sum())
    assert (smooth * weights.numpy()).sum() == pytest.approx(1.0, abs=1e-5)
    expected = 1 / (0.5 * smooth + 0.5 / len(BINS))
    assert weights.numpy() == pytest.approx(expected / (smooth * expected).sum(), rel=1e-4)
    assert BINS.rarity_weights(ab, 1.0).tolist() == pytest.approx([1.0] * len(BINS))


def test_cross_entropy_written_out() -> None:
    torch.manual_seed(0)
    ab, logits = torch.rand(1, 2, 2, 2) - 0.5, torch.randn(1, len(BINS), 2, 2)
    weights = torch.rand(len(BINS)) + 0.5
    nearest, z = BINS.encode(ab)
    log_p = torch.log_softmax(logits, dim=1)[0].permute(1, 2, 0).reshape(-1, len(BINS))
    total = 0.0
    for pixel in range(4):
        entropy = -sum(
            float(z[pixel, k]) * float(log_p[pixel, nearest[pixel, k]]) for k in range(5)
        )
        total += float(weights[nearest[pixel, 0]]) * entropy / 4
    assert BINS.cross_entropy(logits, ab, weights).item() == pytest.approx(total, rel=1e-5)

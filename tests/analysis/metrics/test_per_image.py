"""Metrics against skimage, published pairs and closed forms."""

import inspect
import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from skimage import color, data
from skimage import metrics as reference

from analysis.metrics import per_image
from common.colour import lab

# L1 a1 b1 L2 a2 b2 ΔE00: Sharma, Wu & Dalal 2005, Table 1
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def tensor(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def noisy(image: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 25, image.shape)
    return np.asarray(np.clip(image + noise, 0, 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    return [data.astronaut()[::4, ::4], data.coffee()[:128, :128], data.chelsea()[100:228, 100:228]]


@pytest.fixture(scope="module")
def images(truth: list[np.ndarray]) -> list[np.ndarray]:
    return [noisy(image, seed) for seed, image in enumerate(truth)]


def test_psnr_equals_skimage(images: list[np.ndarray], truth: list[np.ndarray]) -> None:
    expected = [
        reference.peak_signal_noise_ratio(t, i, data_range=255)
        for i, t in zip(images, truth, strict=True)
    ]
    assert per_image.psnr(tensor(*images), tensor(*truth)).tolist() == pytest.approx(
        expected, abs=1e-9
    )


def test_psnr_does_not_wrap_around() -> None:
    black, bright = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert per_image.psnr(tensor(black), tensor(bright)).item() == pytest.approx(0.0)


def test_identical_photographs(truth: list[np.ndarray]) -> None:
    both = tensor(*truth)
    values = per_image.all_metrics(both, both)
    assert torch.isinf(values["psnr_rgb"]).all() and torch.isinf(values["psnr_ab"]).all()
    assert values["ssim"].tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert (
        values["delta_e"].abs().max() < 1e-3 and values["colourfulness_difference"].abs().max() == 0
    )


def test_psnr_ab_against_float64(images: list[np.ndarray], truth: list[np.ndarray]) -> None:
    expected = []
    for image, true in zip(images, truth, strict=True):
        mse = ((color.rgb2lab(image)[..., 1:] - color.rgb2lab(true)[..., 1:]) ** 2).mean()
        expected.append(20 * math.log10(220) - 10 * math.log10(mse))
    psnr = per_image.psnr_ab(lab.rgb_to_lab(tensor(*images)), lab.rgb_to_lab(tensor(*truth)))
    assert psnr.tolist() == pytest.approx(expected, abs=1e-3)


def test_ssim_equals_skimage(images: list[np.ndarray], truth: list[np.ndarray]) -> None:
    options = {
        "channel_axis": 2,
        "data_range": 255,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    expected = [
        reference.structural_similarity(t, i, **options) for i, t in zip(images, truth, strict=True)
    ]
    assert per_image.ssim(tensor(*images), tensor(*truth)).tolist() == pytest.approx(
        expected, abs=2e-4
    )


@pytest.mark.parametrize("size", [(11, 11), (12, 31), (57, 40)])
def test_ssim_of_any_size(size: tuple[int, int]) -> None:
    true = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    options = {
        "channel_axis": 2,
        "data_range": 255,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    expected = reference.structural_similarity(true, noisy(true), **options)
    assert per_image.ssim(tensor(noisy(true)), tensor(true)).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_ssim_of_less_than_a_window() -> None:
    small = torch.zeros(1, 3, 10, 40, dtype=torch.uint8)
    with pytest.raises(ValueError, match="11 pixels"):
        per_image.ssim(small, small)


def test_photographs_of_two_sizes_are_not_compared() -> None:
    first, second = (torch.zeros(1, 3, n, n, dtype=torch.uint8) for n in (16, 17))
    for metric in (per_image.psnr, per_image.ssim):
        with pytest.raises(ValueError, match="one size"):
            inspect.unwrap(metric)(first, second)  # without the tests' own check of shapes
    with pytest.raises(ValueError, match="colour photographs"):
        inspect.unwrap(per_image.colourfulness)(first[:, :1])


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = torch.randint(0, 256, (7, 3, 40, 40), dtype=torch.uint8)
    alone = per_image.all_metrics(photographs, photographs.flip(0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = per_image.all_metrics(photographs, photographs.flip(0))
    assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_it_does_not_matter_how_pixels_lie_in_memory(
    images: list[np.ndarray], truth: list[np.ndarray]
) -> None:
    interleaved = per_image.all_metrics(tensor(*images), tensor(*truth))
    planes = per_image.all_metrics(tensor(*images).contiguous(), tensor(*truth).contiguous())
    assert all(torch.equal(interleaved[name], planes[name]) for name in planes)


def test_ciede2000_of_sharmas_pairs() -> None:
    table = np.array(
        [[float(value) for value in line.split()] for line in SHARMA.strip().splitlines()]
    )
    assert len(table) == 34
    first, second = (
        torch.from_numpy(table[:, k : k + 3].T.copy()).reshape(1, 3, 34, 1) for k in (0, 3)
    )
    for pair in ((first, second), (second, first)):
        assert per_image.delta_e_pixels(*pair).flatten().tolist() == pytest.approx(
            table[:, 6].tolist(), abs=6e-5
        )
    naive = [naive_ciede2000(tuple(row[:3]), tuple(row[3:6])) for row in table.tolist()]
    assert naive == pytest.approx(table[:, 6].tolist(), abs=6e-5)


def test_ciede2000_equals_skimage(images: list[np.ndarray], truth: list[np.ndarray]) -> None:
    expected = [
        color.deltaE_ciede2000(color.rgb2lab(t), color.rgb2lab(i)).mean()
        for i, t in zip(images, truth, strict=True)
    ]
    differences = per_image.delta_e(lab.rgb_to_lab(tensor(*images)), lab.rgb_to_lab(tensor(*truth)))
    assert differences.tolist() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("nearness", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("vividness", [0.0, 0.01, 1.0])
def test_ciede2000_over_the_whole_space(nearness: float, vividness: float) -> None:
    """Hues of every pair of directions, grey and nearly grey, pairs close together and far apart."""
    draw = np.random.default_rng(0)
    first = draw.uniform((0, -100, -100), (100, 100, 100), (100, 100, 3)) * (
        1,
        vividness,
        vividness,
    )
    first = first.astype(np.float32)
    second = (first + draw.normal(0, nearness, first.shape)).astype(np.float32)
    expected = color.deltaE_ciede2000(first.astype(float), second.astype(float))
    assert (
        np.abs(per_image.delta_e_pixels(tensor(first), tensor(second))[0].numpy() - expected).max()
        < 5e-4
    )


def naive_ciede2000(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """As the paper has it, in degrees; differences are rounded, so that 180 is 180."""
    (L1, a1, b1), (L2, a2, b2) = first, second
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    G = 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    C1, C2 = math.hypot((1 + G) * a1, b1), math.hypot((1 + G) * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, (1 + G) * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    far = C1 * C2 > 0 and round(abs(h2 - h1), 9) > 180
    dh = 0 if C1 * C2 == 0 else h2 - h1 - (360 if far and h2 > h1 else -360 if far else 0)
    dL, dC, dH = L2 - L1, C2 - C1, 2 * math.sqrt(C1 * C2) * math.sin(math.radians(dh) / 2)
    L, C, h = (L1 + L2) / 2, (C1 + C2) / 2, (h1 + h2) / (1 if C1 * C2 == 0 else 2)
    h += 0 if not far else 180 if h1 + h2 < 360 else -180
    T = (
        1
        - 0.17 * cosine(h - 30)
        + 0.24 * cosine(2 * h)
        + 0.32 * cosine(3 * h + 6)
        - 0.20 * cosine(4 * h - 63)
    )
    R_T = (
        -math.sin(math.radians(60 * math.exp(-(((h - 275) / 25) ** 2))))
        * 2
        * math.sqrt(C**7 / (C**7 + 25**7))
    )
    S_L = 1 + 0.015 * (L - 50) ** 2 / math.sqrt(20 + (L - 50) ** 2)
    lightness, chroma, hue = dL / S_L, dC / (1 + 0.045 * C), dH / (1 + 0.015 * C * T)
    return math.sqrt(lightness**2 + chroma**2 + hue**2 + R_T * chroma * hue)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_ciede2000_of_exactly_opposite_hues() -> None:
    """Whole numbers: random reals are never exactly opposite, and skimage leaves the side to rounding."""
    values = np.array(
        [(50, a, b) for a in range(-60, 61, 12) for b in range(-60, 61, 12)], np.float32
    )
    first, second = np.repeat(values, len(values), 0), np.tile(values, (len(values), 1))
    expected = [
        naive_ciede2000(tuple(a), tuple(b))
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    differences = (
        per_image.delta_e_pixels(tensor(first[None]), tensor(second[None]))[0].numpy().ravel()
    )
    assert np.abs(differences - expected).max() < 5e-4


def test_ciede2000_of_grey_pixels_is_no_nan() -> None:
    grey, vivid = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ([50.0, 0.0, 0.0], [50.0, 120.0, -120.0])
    )
    assert (
        torch.isfinite(per_image.delta_e(grey, vivid)).all()
        and per_image.delta_e(grey, grey).item() == 0
    )


def test_colourfulness_of_known_pictures() -> None:
    red, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 99, np.uint8)
    red[..., 0] = 255
    half = red.copy()
    half[:4] = (0, 255, 0)
    assert per_image.colourfulness(tensor(red, half, grey)).tolist() == pytest.approx(
        [85.5296, 293.25, 0.0], abs=1e-2
    )


@pytest.mark.parametrize(
    ("name", "value"), [("astronaut", 72.6052), ("chelsea", 37.9574), ("coffee", 76.9179)]
)
def test_colourfulness_of_known_photographs(name: str, value: float) -> None:
    assert per_image.colourfulness(tensor(getattr(data, name)())).item() == pytest.approx(
        value, abs=1e-3
    )


def test_ab_distance_is_scipys_wasserstein(
    images: list[np.ndarray], truth: list[np.ndarray]
) -> None:
    first, second = lab.rgb_to_lab(tensor(images[0])), lab.rgb_to_lab(tensor(truth[0]))
    expected = np.mean(
        [wasserstein_distance(first[0, k].flatten(), second[0, k].flatten()) for k in (1, 2)]
    )
    assert per_image.ab_distance(first, second).item() == pytest.approx(expected, abs=1e-4)


def test_chroma_and_grey_share() -> None:
    half = torch.zeros(1, 3, 2, 2)
    half[0, 1, 0] = 3.0
    half[0, 2, 0] = 4.0
    assert per_image.chroma(half).item() == 2.5
    assert per_image.grey_share(half).item() == 0.5


def test_no_photograph_gives_no_figure() -> None:
    nothing = torch.zeros(0, 3, 16, 16, dtype=torch.uint8)
    assert all(values.shape == (0,) for values in per_image.all_metrics(nothing, nothing).values())


def steps(size: int, lightness_at: int, colour_at: int) -> torch.Tensor:
    """A Lab photograph of one step in L and one in a, each at a column."""
    image = torch.zeros(1, 3, size, size)
    image[:, 0] = 50
    image[:, 0, :, lightness_at:] = 80
    image[:, 1, :, colour_at:] = 40
    return image


def test_colour_bleeds_where_it_changes_off_the_edges_of_lightness() -> None:
    assert per_image.bleeding(steps(24, 12, 12)).item() == 0
    assert per_image.bleeding(steps(24, 12, 13)).item() == 0  # beside an edge is on it
    assert per_image.bleeding(steps(24, 4, 18)).item() == 1
    both = steps(24, 4, 18)
    both[:, 2, :, 4:] = 40
    assert per_image.bleeding(both).item() == pytest.approx(0.5)
    assert per_image.bleeding(torch.full((1, 3, 24, 24), 50.0)).item() == 0


def test_bleeding_is_the_naive_reckoning() -> None:
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [30.0, 40, 40]
    ).view(3, 1, 1)
    x = image[0].double().numpy()
    across, down = (x[:, 1:-1, 2:] - x[:, 1:-1, :-2]) / 2, (x[:, 2:, 1:-1] - x[:, :-2, 1:-1]) / 2
    edges = np.pad(np.hypot(across[0], down[0]) >= 3.0, 1)
    near = np.any([np.roll(edges, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)[
        1:-1, 1:-1
    ]
    change = np.sqrt((across[1:] ** 2 + down[1:] ** 2).sum(axis=0))
    change[change <= 1.0] = 0  # what rounding to 8 bits makes
    assert per_image.bleeding(image).item() == pytest.approx(
        change[~near].sum() / change.sum(), rel=1e-4
    )

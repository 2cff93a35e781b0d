"""Other evaluations' figures, against naive computations of what they say."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2lab

from analysis.metrics import conventions, per_image
from analysis.metrics.conventions import FARTHEST, Rarity
from common.colour import lab


def as_batch(*photographs: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture
def photographs() -> torch.Tensor:
    return as_batch(
        *(picture[:160, :160] for picture in (data.astronaut(), data.coffee(), data.chelsea()))
    )


def test_colourfulness_of_absolute_differences(photographs: torch.Tensor) -> None:
    """As DDColor's file computes it, and never above Hasler & Süsstrunk's: equal where no difference changes its sign."""
    theirs = conventions.absolute_colourfulness(photographs)
    for value, photograph in zip(theirs.tolist(), photographs, strict=True):
        red, green, blue = photograph.double().numpy()
        rg = np.absolute(red - green)
        yb = np.absolute(0.5 * (red + green) - blue)
        spread = np.sqrt(np.std(rg) ** 2 + np.std(yb) ** 2)
        centre = np.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2)
        assert value == pytest.approx(spread + 0.3 * centre, rel=1e-9)
    published = per_image.colourfulness(photographs)
    assert bool((theirs <= published + 1e-9).all())
    assert float(theirs[0]) < 0.95 * float(published[0])


def test_a_smaller_range_lowers_ssim_as_ct2_prints_it(photographs: torch.Tensor) -> None:
    noisy = (photographs.float() + 20 * torch.randn(photographs.shape)).clamp(0, 255).byte()
    theirs = conventions.ssim_of_ct2(noisy, photographs)
    assert bool((theirs < 1).all()) and bool((theirs > 0.2).all())
    same = conventions.ssim_of_ct2(photographs, photographs)
    assert torch.allclose(same, torch.ones_like(same))


def test_the_area_under_the_curve_is_the_mean_over_thresholds(photographs: torch.Tensor) -> None:
    """Zhang et al. sweep the threshold from 0 to 150 and average the shares of pixels below it."""
    grey = photographs.float().mean(1, keepdim=True).byte().expand(-1, 3, -1, -1).contiguous()
    share = conventions.within_reach(lab.rgb_to_lab(grey), lab.rgb_to_lab(photographs))
    for area, one, truth in zip(share.mean(dim=(1, 2)), grey, photographs, strict=True):
        ab, true_ab = (rgb2lab(x.permute(1, 2, 0).numpy())[..., 1:] for x in (one, truth))
        distance = np.linalg.norm(ab - true_ab, axis=2)
        curve = [(distance <= threshold).mean() for threshold in range(FARTHEST + 1)]
        assert float(area) == pytest.approx(np.mean(curve), abs=2e-3)


def test_the_truth_has_the_whole_area(photographs: torch.Tensor) -> None:
    truth = lab.rgb_to_lab(photographs)
    assert torch.allclose(conventions.within_reach(truth, truth), torch.ones(3, 160, 160).double())


def test_rare_colours_weigh_more() -> None:
    """Nine tenths grey and a tenth red, all predicted grey: plain 0.9 and something, rebalanced about half."""
    truth = np.full((10, 10, 3), 128, np.uint8)
    truth[0] = (220, 20, 30)
    guess = np.full((10, 10, 3), 128, np.uint8)
    guess_lab, truth_lab = (lab.rgb_to_lab(as_batch(one)) for one in (guess, truth))
    rarity = Rarity()
    rarity.add(truth_lab)
    areas = conventions.area_under_curve(guess_lab, truth_lab, rarity)
    red = float(conventions.within_reach(guess_lab, truth_lab)[0, 0, 0])
    assert areas["auc"][0] == pytest.approx(0.9 + 0.1 * red)
    rebalanced = areas["auc_weighted"][0] / areas["auc_weights"][0]
    # smoothing lends a colour's share to its neighbours alike, so both colours weigh the same in all
    assert rebalanced == pytest.approx((1 + red) / 2, abs=0.05)


def test_counting_in_parts_is_counting_at_once(photographs: torch.Tensor) -> None:
    truth = lab.rgb_to_lab(photographs)
    at_once = Rarity()
    at_once.add(truth)
    in_parts = Rarity()
    for one in truth:
        in_parts.add(one[None])
    assert torch.equal(at_once.weights(truth), in_parts.weights(truth))

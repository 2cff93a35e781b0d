"""Reconstruction losses against formulas."""

import pytest
import torch
from torch.nn import functional as F

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.networks.colours import Colours
from variants.losses.reconstruction import (
    BinsConfig,
    FeaturesConfig,
    HuberConfig,
    L1Config,
    L2Config,
    build_reconstruction,
)
from variants.regression import RegressionConfig

DOMAIN = Domain(32, 0, lambda: torch.randn(4, 2, 16, 16) * 0.2)


def batch(seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    L, ab = (
        torch.rand(3, 1, 32, 32, generator=draw) * 2 - 1,
        torch.rand(3, 2, 32, 32, generator=draw) * 0.4 - 0.2,
    )
    return Batch(L, ab, torch.full((3,), -1))


def test_pixel_losses(engine: Engine) -> None:
    real, fake = batch(), Colours(torch.zeros(3, 2, 32, 32))
    error = real.ab.abs()
    losses = {
        c.loss: build_reconstruction(c, DOMAIN, engine)(fake, real).item()
        for c in (L1Config(), L2Config(), HuberConfig(delta=0.1))
    }
    assert losses["l1"] == pytest.approx(error.mean().item()) and losses["l2"] == pytest.approx(
        (error**2).mean().item()
    )
    huber = torch.where(error < 0.1, error**2 / 2, 0.1 * (error - 0.05)).mean() / 0.1
    assert losses["huber"] == pytest.approx(huber.item(), rel=1e-5)


def test_features_of_the_truth_cost_nothing_and_others_do(engine: Engine) -> None:
    loss = build_reconstruction(
        FeaturesConfig(encoder="test_resnet", pretrained=False, pixel_weight=0.0), DOMAIN, engine
    )
    real = batch()
    assert loss(Colours(real.ab), real).item() == 0
    fake = torch.zeros(3, 2, 32, 32, requires_grad=True)
    value = loss(Colours(fake), real)
    (gradient,) = torch.autograd.grad(value, fake)
    assert value.item() > 0 and torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    half = loss(Colours(real.ab / 2), real)
    assert half.item() < value.item()


def test_bins_prefer_the_right_colour_and_need_logits(engine: Engine) -> None:
    loss = build_reconstruction(BinsConfig(width=22.0), DOMAIN, engine)
    real = batch()
    from common.colour.ab_bins import AbBins

    bins = AbBins(22.0)
    nearest, _ = bins.encode(real.ab)
    right = 8 * F.one_hot(nearest[:, 0], len(bins)).float().view(3, 32, 32, -1).permute(0, 3, 1, 2)
    wrong = right.roll(7, dims=1)
    assert loss(Colours(real.ab, right), real) < 0.5 * loss(Colours(real.ab, wrong), real)
    with pytest.raises(TypeError, match="no logits"):
        loss(Colours(real.ab), real)


def test_a_name_is_short_for_the_loss() -> None:
    config = parse(RegressionConfig, {"reconstruction": "huber"})
    assert config.reconstruction == HuberConfig()
    assert parse(
        RegressionConfig, {"reconstruction": {"loss": "bins", "width": 15.0}}
    ).reconstruction == BinsConfig(width=15.0)

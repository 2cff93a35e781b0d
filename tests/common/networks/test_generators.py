"""Generators with timm encoders, labels, heads and recomputation."""

import copy
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torch.nn import functional as F

from common.colour.ab_bins import AbBins
from common.errors import ColourbenchError
from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig, UpBlock
from common.networks.colours import BinsHead
from common.networks.encoders import Encoder, EncoderConfig
from common.networks.generator import build_network, without_fetching
from common.networks.layers import FiLM, SelfAttention, spectral_norm
from common.networks.patch_critic import Critic, PatchCritic, PatchCriticConfig
from common.networks.recomputation import recompute
from common.networks.unet import UNet, UNetConfig

TINY = {"encoder": "test_resnet", "pretrained": False, "decoder_width": 16}
ENCODERS = [
    "vgg19",
    "legacy_xception",
    "resnet18",
    "resnet34",
    "resnet50",
    *(f"efficientnet_b{i}" for i in range(5)),
    "convnext_tiny",
]


def tiny(**fields: object) -> BackboneUNetConfig:
    return BackboneUNetConfig.model_validate(TINY | fields)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_of_the_source_projects(encoder: str) -> None:
    network = BackboneUNet(tiny(encoder=encoder))
    ab = network(torch.rand(2, 1, 64, 32)).ab
    assert ab.shape == (2, 2, 64, 32) and network.stride == 32
    # refuses a weight that the output does not depend on
    gradients = torch.autograd.grad(ab.sum(), list(network.parameters()))
    assert len(gradients) == len(list(network.parameters()))


@pytest.mark.parametrize("upsampling", ["pixel_shuffle", "bilinear"])
def test_a_fresh_decoder_has_no_checkerboard(upsampling: str) -> None:
    """From a map without structure comes a map without structure: no pattern of 2x2."""
    block = UpBlock(8, 0, 6, 0.0, tiny(upsampling=upsampling, norm="none"))
    nn.init.normal_(block.enlarge.weight)
    block.without_checkerboard()
    flat = block(torch.randn(1, 8, 1, 1).expand(1, 8, 6, 6), None)[..., 3:-3, 3:-3]
    assert flat.std(dim=(2, 3)).max() < 1e-6


def test_the_encoder_sees_a_normalised_grey_photograph() -> None:
    encoder = Encoder(EncoderConfig(encoder="test_resnet", pretrained=False)).eval()
    reference = timm.create_model("test_resnet", features_only=True).eval()
    reference.load_state_dict(encoder.features.state_dict())
    cfg = timm.get_pretrained_cfg("test_resnet")
    assert cfg is not None
    rgb = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (cfg.mean, cfg.std))
    for ours, theirs in zip(encoder(rgb), reference((rgb - mean) / std), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_local_weights_are_loaded(suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    # with its classifier, as published weights have it
    whole = timm.create_model("test_resnet")
    file = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(whole.state_dict(), file)
    else:
        safetensors.torch.save_file(whole.state_dict(), file)
    network = BackboneUNet(tiny(backbone_weights=str(file)))
    loaded = network.encoder.features.state_dict()
    assert loaded and all(
        torch.equal(value, whole.state_dict()[name]) for name, value in loaded.items()
    )


def test_never_random_weights_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("cannot reach the hub")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", no_network)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", no_network)
    with pytest.raises(
        ColourbenchError,
        match=r"weights of resnet18: cannot reach the hub.*pretrained=True.*backbone_weights",
    ):
        Encoder(EncoderConfig(encoder="resnet18"))
    with pytest.raises(ColourbenchError, match="there is no file nowhere"):
        Encoder(EncoderConfig(encoder="resnet18", backbone_weights="nowhere"))
    wrong = tmp_path / "wrong.pt"
    torch.save({"a": torch.zeros(3)}, wrong)
    with pytest.raises(ColourbenchError, match="does not hold the weights of resnet18"):
        Encoder(EncoderConfig(encoder="resnet18", backbone_weights=str(wrong)))
    with pytest.raises(ColourbenchError, match="no encoder 'resnt18'; did you mean resnet18"):
        Encoder(EncoderConfig(encoder="resnt18"))
    with pytest.raises(ColourbenchError, match="use a convolutional one"):
        Encoder(EncoderConfig(encoder="vit_tiny_patch16_224", pretrained=False))


def test_a_frozen_encoder_does_not_move(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    network = BackboneUNet(tiny(frozen=True, backbone_weights=str(file)))
    before = copy.deepcopy(network.encoder.state_dict())
    network(torch.rand(4, 1, 32, 32)).ab.sum().backward()
    assert all(
        torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in network.encoder.parameters())


def test_loading_a_trained_generator_fetches_nothing() -> None:
    config = BackboneUNetConfig(encoder="resnet18")
    assert config.pretrained
    assert BackboneUNet(without_fetching(config)).stride == 32  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "network", [UNet(UNetConfig(base_width=4), 32, classes=3), BackboneUNet(tiny(), classes=3)]
)
def test_labels_start_without_effect_and_then_have_one(network: nn.Module) -> None:
    network.eval()
    L = torch.rand(2, 1, 32, 32)
    plain, labelled = network(L).ab, network(L, torch.tensor([0, 2])).ab
    assert torch.equal(plain, labelled)
    for module in network.modules():
        if isinstance(module, FiLM):
            nn.init.normal_(module.weight)
    withheld = network(L, torch.tensor([-1, -1])).ab
    assert torch.equal(network(L).ab, withheld)
    assert not torch.allclose(withheld, network(L, torch.tensor([0, 2])).ab)
    assert torch.allclose(
        network(L, torch.tensor([0, 2])).ab[1:], network(L[1:], torch.tensor([2])).ab, atol=1e-5
    )


def test_film_formula() -> None:
    film = FiLM(2, 3)
    nn.init.normal_(film.weight)
    x, label = torch.rand(2, 3, 4, 4), torch.tensor([1, -1])
    gamma, beta = film.weight[[1, 2], :3], film.weight[[1, 2], 3:]
    assert torch.allclose(
        film(x, label), x * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]
    )


def test_attention_is_softmax_over_places() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16)
    nn.init.constant_(layer.gamma, 0.7)
    x = torch.randn(2, 16, 3, 5)
    f, g, h = (m(x).flatten(2) for m in (layer.query, layer.key, layer.value))
    weights = torch.softmax(torch.einsum("bci,bcj->bij", f, g), dim=2)
    expected = x + 0.7 * torch.einsum("bij,bcj->bci", weights, h).reshape(x.shape)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_spectral_norm_bounds_the_singular_values() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 4)
    nn.init.normal_(convolution.weight, 0, 3.0)
    spectral_norm(nn.Sequential(convolution))
    for _ in range(50):
        convolution(torch.rand(1, 3, 8, 8))
    weight = convolution.eval().weight.detach()
    assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("kind", ["unet", "resnet", "vgg-like", "spectral"])
def test_recomputation_changes_memory_and_nothing_else(kind: str) -> None:
    torch.manual_seed(0)
    configs: dict[str, UNetConfig | BackboneUNetConfig] = {
        "unet": UNetConfig(base_width=8),
        "resnet": tiny(attention=True, dropout=0.3),
        "vgg-like": tiny(encoder="test_efficientnet"),
        "spectral": tiny(spectral_norm=True, bridge_width=16),
    }
    plain = build_network(configs[kind], 64)
    forgetful = copy.deepcopy(plain)
    assert recompute(forgetful) > 3
    L = torch.rand(4, 1, 64, 64)
    outcomes = []
    for network in (plain, forgetful):
        torch.manual_seed(1)
        kept = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            ab = network(L).ab
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(ab.square().sum(), parameters, retain_graph=True)
        # as the mutations of one parent do
        again = torch.autograd.grad(ab.square().sum(), parameters)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, again, strict=True))
        outcomes.append((ab, gradients, list(network.buffers()), kept))
    (ab, gradients, buffers, much), (ab2, gradients2, buffers2, little) = outcomes
    assert torch.equal(ab, ab2) and little < 0.8 * much
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients, gradients2, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(buffers, buffers2, strict=True))


def test_the_large_generator_is_of_deoldifys_size() -> None:
    config = BackboneUNetConfig(
        encoder="resnet101",
        pretrained=False,
        decoder_width=512,
        wide=True,
        bridge_width=4096,
        attention=True,
        spectral_norm=True,
    )
    with torch.device("meta"):
        network = BackboneUNet(config)
    assert 150e6 < sum(parameter.numel() for parameter in network.parameters()) < 300e6


def test_a_generator_that_classifies_gives_logits_and_their_colour() -> None:
    head = BinsHead(AbBins(22.0), 0.38)
    colours = UNet(UNetConfig(base_width=4), 32, head=head)(torch.rand(2, 1, 32, 32))
    assert colours.logits is not None and colours.logits.shape == (2, len(AbBins(22.0)), 32, 32)
    assert torch.equal(colours.ab, AbBins(22.0).annealed_mean(colours.logits, 0.38))


def test_scales_are_critics_of_pooled_photographs() -> None:
    critic = Critic(PatchCriticConfig(base_width=4, layers=2, scales=2, norm="none"))
    L, ab = torch.rand(2, 1, 64, 64), torch.rand(2, 2, 64, 64)
    fine, coarse = critic(L, ab)
    half = [F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (L, ab)]
    assert fine.shape[2] > coarse.shape[2]
    assert torch.equal(coarse, critic.scales[1](*half)) and torch.equal(
        fine, critic.scales[0](L, ab)
    )


def test_projection_adds_the_inner_product_with_the_mean_feature() -> None:
    critic = PatchCritic(
        PatchCriticConfig(base_width=4, layers=2, norm="none", projection=True), classes=3
    )
    L, ab, label = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32), torch.tensor([1, -1])
    assert critic.embedding is not None
    features = critic.blocks[:-1](torch.cat([L, ab], dim=1))
    plain = critic.blocks[-1](features)
    products = [
        torch.dot(critic.embedding.weight[row], features[i].mean(dim=(1, 2)))
        for i, row in enumerate((1, 3))
    ]
    expected = plain + torch.stack(products).view(2, 1, 1, 1)
    assert torch.allclose(critic(L, ab, label), expected, atol=1e-6)

import inspect

import numpy as np
import pytest
import torch
from skimage import color

from common.colour import lab


def grid() -> torch.Tensor:
    """Every 15th value of each channel, corners of the cube included: uint8 (1, 3, 18, 324)."""
    axis = np.arange(0, 256, 15)
    values = (
        np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
        .reshape(18, 324, 3)
        .astype(np.uint8)
    )
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def as_image(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).numpy()


def test_rgb_to_lab_equals_skimage() -> None:
    rgb = grid()
    expected = color.rgb2lab(as_image(rgb))
    assert np.abs(as_image(lab.rgb_to_lab(rgb)) - expected).max() < 1e-3
    assert np.abs(as_image(lab.rgb_to_lab(rgb.float() / 255)) - expected).max() < 1e-3


def test_float64_stays_float64_and_is_exact() -> None:
    converted = lab.rgb_to_lab(grid().double() / 255)
    assert converted.dtype == torch.float64
    assert np.abs(as_image(converted) - color.rgb2lab(as_image(grid()))).max() < 1e-9


def test_lab_to_rgb_equals_skimage_inside_the_gamut() -> None:
    values = lab.rgb_to_lab(grid())
    expected = color.lab2rgb(as_image(values.double()))
    assert np.abs(as_image(lab.lab_to_rgb(values)) - expected).max() < 1e-4


def test_back_and_forth_in_lab_units() -> None:
    values = lab.rgb_to_lab(grid().double() / 255)
    again = lab.rgb_to_lab(lab.lab_to_rgb(values))
    assert (again - values).abs().max() < 1e-3


def test_round_trip_of_uint8_is_the_identity() -> None:
    rgb = grid()
    assert torch.equal(lab.to_photographs(*lab.to_network(rgb)), rgb)


def test_network_scale() -> None:
    L, ab = lab.split(torch.tensor([0.0, 110.0, -55.0]).view(1, 3, 1, 1))
    assert L.item() == -1.0
    assert ab.flatten().tolist() == [1.0, -0.5]


def test_no_nan_outside_the_gamut_forwards_and_backwards() -> None:
    draw = torch.Generator().manual_seed(0)
    values = (torch.rand(4, 3, 32, 32, generator=draw) * 300 - 150).requires_grad_()
    rgb = lab.lab_to_rgb(values)
    rgb.sum().backward()
    assert torch.isfinite(rgb).all()
    assert values.grad is not None and torch.isfinite(values.grad).all()
    assert rgb.min() >= 0 and rgb.max() <= 1


def test_gradient_at_black_is_finite() -> None:
    rgb = torch.zeros(1, 3, 2, 2, requires_grad=True)
    lab.rgb_to_lab(rgb).sum().backward()
    assert rgb.grad is not None and torch.isfinite(rgb.grad).all()


def test_a_batch_is_its_photographs_one_by_one() -> None:
    """On a CPU a batch is cut so that it stays in the cache; nothing may depend on where."""
    draw = torch.Generator().manual_seed(0)
    for shape in ((5, 3, 200, 200), (70, 3, 32, 32), (0, 3, 8, 8)):
        rgb = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
        together = lab.rgb_to_lab(rgb)
        assert together.shape == shape
        for photograph, converted in zip(rgb, together, strict=True):
            assert torch.allclose(lab.rgb_to_lab(photograph[None])[0], converted, atol=1e-4)
            assert torch.allclose(lab.lab_to_rgb(converted[None])[0], photograph / 255, atol=1e-4)


def photographs(*shape: int) -> torch.Tensor:
    return torch.randint(
        0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


def test_compiled_loops_are_the_formulas_in_float64() -> None:
    rgb = photographs(3, 3, 40, 52)
    exact = lab.rgb_to_lab(rgb.double() / 255)
    assert (lab.rgb_to_lab(rgb) - exact).abs().max() < 2e-4
    for spread in (1.0, 3.0):  # inside the gamut and far outside
        assert (
            lab.lab_to_rgb((exact * spread).float()) - lab.lab_to_rgb(exact * spread)
        ).abs().max() < 1e-4


def test_with_a_gradient_the_same_values_come_from_tensors() -> None:
    values = lab.rgb_to_lab(photographs(2, 3, 20, 20))
    watched = values.clone().requires_grad_()
    rgb = lab.lab_to_rgb(watched)
    assert rgb.requires_grad and torch.allclose(rgb.detach(), lab.lab_to_rgb(values), atol=1e-5)
    with torch.no_grad():
        assert not lab.lab_to_rgb(watched).requires_grad


def test_it_does_not_matter_how_pixels_lie_in_memory() -> None:
    planes = photographs(2, 3, 30, 26)
    interleaved = planes.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    part = torch.nn.functional.pad(planes, (3, 5, 2, 4))[:, :, 2:-4, 3:-5]
    expected = lab.rgb_to_lab(planes)
    for same in (interleaved, part):
        assert torch.equal(lab.rgb_to_lab(same), expected)
    assert torch.equal(
        lab.lab_to_rgb(expected.to(memory_format=torch.channels_last)), lab.lab_to_rgb(expected)
    )


def test_to_the_network_at_once_is_lab_and_then_the_scale() -> None:
    rgb = photographs(2, 3, 17, 19)
    for scaled, expected in zip(lab.to_network(rgb), lab.split(lab.rgb_to_lab(rgb)), strict=True):
        assert scaled.is_contiguous() and torch.allclose(scaled, expected, atol=1e-6)


def test_what_is_no_number_stays_none() -> None:
    """A diverged generator must not look like a photograph."""
    values = torch.full((1, 3, 4, 4), float("nan"))
    assert (
        torch.isnan(lab.lab_to_rgb(values)).all()
        and torch.isnan(lab.lab_to_rgb(values.double())).all()
    )


def test_an_exported_computation_holds_the_conversion() -> None:
    class Lightness(torch.nn.Module):
        def forward(self, rgb: torch.Tensor) -> torch.Tensor:
            return lab.to_network(rgb)[0]

    rgb = photographs(1, 3, 16, 16)
    exported = torch.export.export(Lightness(), (rgb,)).module()
    other = rgb.flip(2)
    assert torch.allclose(exported(other), lab.to_network(other)[0], atol=1e-5)


def test_what_has_not_three_channels_is_refused() -> None:
    """Kernels look at no bounds."""
    grey = photographs(2, 1, 16, 16)
    for function, image in (
        (lab.rgb_to_lab, grey),
        (lab.to_network, grey),
        (lab.lab_to_rgb, grey.float()),
    ):
        with pytest.raises(ValueError, match="3 channels, not 1"):
            inspect.unwrap(function)(image)  # without the tests' own check of shapes

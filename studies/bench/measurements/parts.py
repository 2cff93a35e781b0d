"""What each optimisation of the engine gains by itself, against torch's or numpy's own implementation."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from common.data import batches
from common.fast import convolution
from common.fast.adam import FusedAdam
from studies.bench.references.plain_networks import PlainGenerator
from studies.bench.result import Result, of_times
from studies.bench.timing import alternate, timed
from variants.players.adam import AdamConfig

# class, channels in, channels out; kernels of 4, stride 2, padding 1
Layer = tuple[str, int, int]
# one of two implementations; returns everything that it computes
Both = Callable[[], Tensor | list[Tensor]]


def layers(dtype: torch.dtype, batch: int, width: int, rounds: int) -> Iterator[Result]:
    """Measures layers of pix2pix's generator, forward and backward."""
    down = ("Conv2d", 8 * width, 8 * width)
    up = ("ConvTranspose2d", 16 * width, 8 * width)
    last = ("ConvTranspose2d", 2 * width, 2)
    yield _layer(
        f"convolution of 8x8 maps, batch {batch}", down, (batch, 8 * width, 8, 8), dtype, rounds
    )
    yield _layer(
        f"transposed convolution of 4x4 maps, batch {batch}",
        up,
        (batch, 16 * width, 4, 4),
        dtype,
        rounds,
    )
    yield _layer(
        f"last layer, 2 channels, batch {batch}", last, (batch, 2 * width, 128, 128), dtype, rounds
    )
    yield _skip(f"batch norm under a skip, batch {batch}", (batch, width, 128, 128), dtype, rounds)


def others(width: int, rounds: int) -> Iterator[Result]:
    """Measures Adam's step and the mirroring of a photograph."""
    yield from _adam(width, rounds)
    yield _mirror(rounds)


def _layer(
    name: str, layer: Layer, shape: tuple[int, ...], dtype: torch.dtype, rounds: int
) -> Result:
    kind, incoming, outgoing = layer
    torch.manual_seed(0)
    ours = getattr(convolution, kind)(incoming, outgoing, 4, 2, 1).to(
        dtype=dtype, memory_format=torch.channels_last
    )
    plain = getattr(nn, kind)(incoming, outgoing, 4, 2, 1).to(
        dtype=dtype, memory_format=torch.channels_last
    )
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(shape).to(dtype=dtype, memory_format=torch.channels_last)
    works = [_forward_and_backward(module, x, *module.parameters()) for module in (plain, ours)]
    return _result(name, "torch", works, rounds)


def _skip(name: str, shape: tuple[int, ...], dtype: torch.dtype, rounds: int) -> Result:
    """Measures batch norm whose output a skip connection concatenates: its gradient is a slice of the joined gradient."""
    x, beside = (
        torch.randn(shape).to(dtype=dtype, memory_format=torch.channels_last) for _ in range(2)
    )

    def through(join: Callable[..., Tensor], x: Tensor) -> Tensor:
        return join(nn.functional.batch_norm(x, None, None, training=True), beside)

    joins = (lambda *maps: torch.cat(maps, dim=1), convolution.joined)
    works = [_forward_and_backward(partial(through, join), x) for join in joins]
    return _result(name, "torch.cat", works, rounds)


def _forward_and_backward(
    function: Callable[[Tensor], Tensor], x: Tensor, *weights: Tensor
) -> Both:
    """Returns a function for the output, and for the gradients of input and weights at one fixed gradient of the output."""
    x = x.clone().requires_grad_()
    upstream = torch.randn_like(function(x), generator=torch.Generator().manual_seed(0))

    def work() -> list[Tensor]:
        y = function(x)
        return [y.detach(), *torch.autograd.grad(y, [x, *weights], upstream)]

    return work


def _adam(width: int, rounds: int) -> Iterator[Result]:
    """Measures a step from bfloat16 gradients, bfloat16 working weights included; and stepped weights when nothing may change."""
    torch.manual_seed(0)
    weights = [
        w.detach()
        for w in PlainGenerator(256, width, 0.0).to(memory_format=torch.channels_last).parameters()
    ]
    gradients = [torch.randn_like(w, dtype=torch.bfloat16) for w in weights]
    plain = _TorchAdam(weights)
    copies = [w.bfloat16() for w in weights]
    config = AdamConfig()
    betas = (config.beta1, config.beta2)
    adam = FusedAdam(
        config.learning_rate, betas, 0.0, [w.clone() for w in weights], copies, [1.0] * len(weights)
    )

    def step() -> list[Tensor]:
        adam.step(gradients)
        return copies

    name = f"{sum(w.numel() for w in weights) / 1e6:.1f} million weights"
    steps: list[Both] = [partial(plain.step, gradients), step]
    yield _result(f"Adam's step, {name}", "torch's fused Adam", steps, rounds)
    stepped: list[Both] = [partial(plain.stepped, gradients), partial(adam.stepped, gradients)]
    yield _result(
        f"the weights after Adam's step, nothing changed, {name}",
        "step and restore",
        stepped,
        rounds,
    )


class _TorchAdam:
    """torch's fused Adam, with bfloat16 copies that follow the weights."""

    def __init__(self, weights: list[Tensor]) -> None:
        self._weights = [nn.Parameter(w.clone()) for w in weights]
        self._copies = [w.bfloat16() for w in weights]
        self._adam = torch.optim.Adam(
            self._weights, lr=AdamConfig().learning_rate, betas=(0.5, 0.999), fused=True
        )

    def step(self, gradients: list[Tensor]) -> list[Tensor]:
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient.float()
        self._adam.step()
        for copy, weight in zip(self._copies, self._weights, strict=True):
            copy.copy_(weight.detach())
        return self._copies

    def stepped(self, gradients: list[Tensor]) -> list[Tensor]:
        """Makes a step, restores everything, and returns the stepped copies."""
        states = [self._adam.state[w] for w in self._weights]
        changing = [
            *(w.detach() for w in self._weights),
            *self._copies,
            *(s[k] for s in states for k in ("exp_avg", "exp_avg_sq", "step")),
        ]
        kept = [x.clone() for x in changing]
        result = [copy.clone() for copy in self.step(gradients)]
        for x, before in zip(changing, kept, strict=True):
            x.copy_(before)
        return result


def _mirror(rounds: int) -> Result:
    stored = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    plain = np.empty_like(stored)
    ours = np.empty_like(stored)

    def with_numpy() -> Tensor:
        np.copyto(plain, stored[:, ::-1])
        return torch.from_numpy(plain)

    def product() -> Tensor:
        np.copyto(ours, stored)
        batches.mirror(ours)
        return torch.from_numpy(ours)

    return _result("a photograph's mirror image, 256 px", "numpy", [with_numpy, product], rounds)


def _result(name: str, plain: str, works: list[Both], rounds: int) -> Result:
    checked = f"largest difference {_difference(*works):.1e} of the largest value"
    return of_times(
        name, plain, alternate(timed(works[0]), timed(works[1]), rounds), 1, None, checked
    )


def _difference(*works: Both) -> float:
    first, second = (
        output if isinstance(output, list) else [output] for output in (work() for work in works)
    )
    return max(
        float((a.double() - b.double()).abs().max() / a.double().abs().max())
        for a, b in zip(first, second, strict=True)
    )

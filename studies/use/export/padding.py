"""TensorFlow's padding, which depends on the input's side, as a fixed one: tracing it for any side grows without end.

A program continues its input to a multiple of the network's stride, so that every convolution's input is a multiple of its own.
There the padding of a kernel k with stride s is k - s, whatever the side.
"""

import copy

from torch import nn

from variants.players.program import Program


def with_fixed_padding(program: Program) -> Program:
    """A copy whose convolutions with TensorFlow's padding pad by fixed numbers of rows and columns; its colours are the same."""
    from timm.layers import Conv2dSame  # type: ignore[attr-defined]

    fixed = copy.deepcopy(program)
    for module in list(fixed.modules()):
        for name, child in module.named_children():
            if isinstance(child, Conv2dSame):
                setattr(module, name, _fixed(child))
    return fixed


def _fixed(convolution: nn.Conv2d) -> nn.Sequential:
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        dilation=convolution.dilation,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    plain.weight = convolution.weight
    plain.bias = convolution.bias
    top, bottom = _missing(convolution, 0)
    left, right = _missing(convolution, 1)
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def _missing(convolution: nn.Conv2d, axis: int) -> tuple[int, int]:
    """Rows or columns to add before and after, of an input whose side is a multiple of the stride."""
    reach = (convolution.kernel_size[axis] - 1) * convolution.dilation[axis] + 1
    missing = max(0, reach - convolution.stride[axis])
    return missing // 2, missing - missing // 2

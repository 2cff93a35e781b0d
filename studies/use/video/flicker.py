"""Colours that hold still: chroma is smoothed over time, and two measures say how much a video flickers.

A network colours each frame by itself, so noise and grain make its colours flicker. Where the picture stands still, its chroma is
blended with that of the frame before. All state is that of a few frames, whatever the length of the video.
"""

import math
from collections import deque

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab

# Lab units of mean |ΔL|: 99 % of pairs of unrelated photographs have more; pans by 2 % of the side a frame, less
CUT = 12.0
STILL = 1.0  # Lab units: pixels that change by less stand still
TOLERANCE = 2.0  # Lab units of local change at which a blend falls to 1/e
# the largest share of the frame before, a memory of about ten frames: slow changes of light still arrive
MOST = 0.9
STEPS = (1, 2, 4)  # frames apart, for CDC
BINS = 256


def change(
    L: Float[Tensor, "1 1 h w"], before: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "1 1 h w"]:
    """ΔL in Lab units, of two frames in the networks' scale."""
    return (L - before) * lab.L_CENTRE


def is_cut(delta: Float[Tensor, "1 1 h w"]) -> bool:
    """Whether two frames with this ΔL belong to different scenes: the mean |ΔL| is above `CUT`."""
    return float(delta.abs().mean()) > CUT


class Smoother:
    """Blends the chroma of each frame with the smoothed chroma of the frame before, by w = MOST exp(-(|ΔL| / TOLERANCE)²).

    ΔL is blurred over 3 x 3 pixels, so that noise does not look like movement, and the largest of 3 x 3 neighbours counts, so
    that colours do not trail behind a moving edge. Its median is taken out first: old film flickers in brightness as a whole. A
    scene cut starts anew.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, Tensor] | None = None

    def __call__(
        self, L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"]
    ) -> Float[Tensor, "1 2 h w"]:
        """The smoothed chroma of the next frame, from its L and its predicted chroma, all in the networks' scale."""
        if self._before is not None:
            delta = change(L, self._before[0])
            if not is_cut(delta):
                ab = torch.lerp(ab, self._before[1], _share(delta))
        self._before = L, ab
        return ab


def _share(delta: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """How much of the frame before goes into a pixel, from 0 to MOST."""
    local = F.max_pool2d(_blurred(delta - delta.median()).abs(), 3, stride=1, padding=1)
    return MOST * torch.exp(-((local / TOLERANCE) ** 2))


def _blurred(delta: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Binomial weights over 3 x 3 pixels; noise falls to 3/8 of its strength."""
    line = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(delta, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, torch.outer(line, line)[None, None])


class StillFlicker:
    """Mean |Δab| in Lab units between consecutive frames, over the pixels where |ΔL| < STILL, without the scene cuts."""

    def __init__(self) -> None:
        self._before: tuple[Tensor, Tensor] | None = None
        self._total = 0.0
        self._pixels = 0

    def add(self, L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"]) -> None:
        """Takes the next frame, in the networks' scale."""
        if self._before is not None:
            delta = change(L, self._before[0])
            if not is_cut(delta):
                moved = torch.linalg.vector_norm(ab - self._before[1], dim=1, keepdim=True)[
                    delta.abs() < STILL
                ]
                self._total += float(moved.double().sum()) * lab.AB_RANGE
                self._pixels += moved.numel()
        self._before = L, ab

    @property
    def value(self) -> float:
        """The mean so far; NaN if nothing stood still."""
        return self._total / self._pixels if self._pixels else float("nan")


class ColourConsistency:
    """CDC: how much the distribution of colours changes from frame to frame; 0 is no change.

    Liu et al. 2021, "Temporally Consistent Video Colorization with Deep Feature Propagation and Self-regularization Learning":
    for each step d of 1, 2 and 4 frames, the Jensen-Shannon divergence (in nats) between the histograms of frames t and t + d, as
    a mean over t and over R, G and B; CDC is the mean over the three steps. In a video too short for a step, over those it has.
    """

    def __init__(self) -> None:
        # histograms, the last frame first
        self._recent: deque[np.ndarray] = deque(maxlen=max(STEPS))
        self._totals = dict.fromkeys(STEPS, 0.0)
        self._pairs = dict.fromkeys(STEPS, 0)

    def add(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Takes the next frame; frames may differ in size."""
        # (3, 256)
        counts = np.stack(
            [np.bincount(rgb[..., channel].ravel(), minlength=BINS) for channel in range(3)]
        )
        histograms = counts / counts.sum(axis=1, keepdims=True)
        for step in STEPS:
            if step <= len(self._recent):
                self._totals[step] += float(_divergences(histograms, self._recent[step - 1]).mean())
                self._pairs[step] += 1
        self._recent.appendleft(histograms)

    @property
    def value(self) -> float:
        """CDC so far; NaN for a single frame."""
        means = [self._totals[step] / count for step, count in self._pairs.items() if count]
        return sum(means) / len(means) if means else float("nan")


class Steady:
    """Smooths the colours of consecutive frames, and measures their flicker before and after."""

    def __init__(self) -> None:
        self._smoother = Smoother()
        self._before = StillFlicker()
        self._after = StillFlicker()
        self._consistency = ColourConsistency(), ColourConsistency()

    def __call__(
        self, L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"]
    ) -> Float[Tensor, "1 2 h w"]:
        """The smoothed chroma of the next frame."""
        smooth = self._smoother(L, ab)
        self._before.add(L, ab)
        self._after.add(L, smooth)
        for consistency, colours in zip(self._consistency, (ab, smooth), strict=True):
            consistency.add(lab.to_photographs(L, colours)[0].permute(1, 2, 0).numpy())
        return smooth

    @property
    def remark(self) -> str:
        """The flicker in words."""
        before = self._before.value
        after = self._after.value
        flicker = "nothing stands still, so flicker was not measured"
        if not math.isnan(before):
            flicker = f"flicker {before:.2f} before and {after:.2f} after smoothing"
        first, last = (consistency.value for consistency in self._consistency)
        return flicker if math.isnan(first) else f"{flicker}, CDC {first:.4f} and {last:.4f}"


def _divergences(
    p: Float[np.ndarray, "c n"], q: Float[np.ndarray, "c n"]
) -> Float[np.ndarray, " c"]:
    """Jensen-Shannon divergence of each row, in nats."""
    middle = (p + q) / 2
    return np.asarray(_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(
    p: Float[np.ndarray, "c n"], q: Float[np.ndarray, "c n"]
) -> Float[np.ndarray, " c"]:
    """Σ p ln(p / q), where 0 ln 0 is 0; q is positive wherever p is."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray(np.sum(p * np.log(ratio), axis=1))

"""Distances between the features of coloured and of true photographs: Fréchet's (FID's formula) and the kernel's (KID's).

What a distance is called depends on the network that the features come from: only Inception's give FID and KID. Errors are the
jackknife's: photographs are left out with all images that were cut from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from analysis.statistics.crossed import LEVEL

Features = Float[Tensor, "n features"]
FEWEST = 4  # photographs
# of photographs that the Fréchet distance is computed without: each costs two decompositions of a covariance
GROUPS = 10


@dataclass(frozen=True)
class SetFigures:
    """Both distances of a set of n images to the true ones, and the standard error of each over photographs."""

    frechet: float
    frechet_error: float
    kernel: float
    kernel_error: float
    n: int


def set_figures(features: Features, truth: Features, photographs: Sequence[str]) -> SetFigures:
    """Both distances; row i of both is the same image, coloured and true. NaN for fewer than 4 photographs.

    Args:
        photographs: each row's photograph.
    """
    count = len(set(photographs))
    if count < FEWEST:
        return SetFigures(math.nan, math.nan, math.nan, math.nan, len(features))
    kernel, kernel_error = kernel_distance(features, truth, photographs)
    return SetFigures(
        frechet=frechet_distance(features, truth),
        frechet_error=_frechet_error(features, truth, photographs),
        kernel=kernel,
        kernel_error=kernel_error,
        n=len(features),
    )


def frechet_distance(features: Features, truth: Features) -> float:
    """‖μ - μ_w‖² + tr(Σ + Σ_w - 2 (Σ Σ_w)^½) (Heusel et al. 2017, eq. 6). Biased for few photographs: compare only at equal n.

    With fewer rows than features tr (Σ Σ_w)^½ is the sum of the singular values of X Y^T / (n - 1), of centred rows, because these
    are the roots of the eigenvalues of Σ Σ_w; else the sum of the roots of the eigenvalues of Σ_w^½ Σ Σ_w^½, which is symmetric, so
    that no root of a negative number comes from rounding.
    """
    x = features.double()
    y = truth.double()
    means = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    variances = x.var(dim=0).sum() + y.var(dim=0).sum()
    if min(len(x), len(y)) < x.shape[1]:
        return float(means + variances - 2 * _trace_of_few(x, y))
    root = _square_root(torch.cov(y.T))
    eigenvalues = torch.linalg.eigvalsh(root @ torch.cov(x.T) @ root)
    return float(means + variances - 2 * eigenvalues.clamp(min=0).sqrt().sum())


def _trace_of_few(x: Features, y: Features) -> Float[Tensor, ""]:
    products = (x - x.mean(dim=0)) @ (y - y.mean(dim=0)).T
    trace: Tensor = torch.linalg.svdvals(products).sum() / math.sqrt((len(x) - 1) * (len(y) - 1))
    return trace


def _square_root(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _frechet_error(features: Features, truth: Features, photographs: Sequence[str]) -> float:
    """The jackknife's standard error over groups of photographs (Shao & Tu 1995, §2.3)."""
    names = list(dict.fromkeys(photographs))
    groups = min(GROUPS, len(names))
    group_of = {name: number % groups for number, name in enumerate(names)}
    numbers = torch.tensor([group_of[name] for name in photographs])
    kept = [numbers != group for group in range(groups)]
    left_out = [frechet_distance(features[rows], truth[rows]) for rows in kept]
    return math.sqrt((groups - 1) * float(np.var(left_out)))


def kernel_distance(
    features: Features, truth: Features, photographs: Sequence[str] | None = None
) -> tuple[float, float]:
    """The unbiased MMD² with the kernel (x·y / d + 1)³ (Bińkowski et al. 2018, section 4), and its standard error.

    Row i of both is the same photograph, coloured and true, so k(xᵢ, yᵢ) is left out as k(xᵢ, xᵢ) is (Gretton et al. 2012, lemma
    6): with it, a set compared with itself would be far below 0. Computed over all rows at once, not over subsets, whose spread is
    not a standard error. The error is the jackknife's: each photograph in turn is left out, with all images that were cut from it.

    Args:
        photographs: each row's photograph; by default every row is one of its own.
    """
    from torchmetrics.image.kid import poly_kernel

    x = features.double()
    y = truth.double()
    xy = poly_kernel(x, y)
    h = poly_kernel(x, x) + poly_kernel(y, y) - xy - xy.T  # of pairs of rows, (n, n)
    h.fill_diagonal_(0)
    n = len(x)
    names = photographs if photographs is not None else [str(row) for row in range(n)]
    left_out = torch.stack([_without(h, rows) for rows in _rows_of(names)])
    groups = len(left_out)
    error = torch.sqrt((groups - 1) * left_out.var(correction=0))
    return float(h.sum() / (n * (n - 1))), float(error)


def _rows_of(photographs: Sequence[str]) -> list[Tensor]:
    """The rows of each photograph."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(photographs):
        rows.setdefault(name, []).append(row)
    return [torch.tensor(own) for own in rows.values()]


def _without(h: Float[Tensor, "n n"], rows: Tensor) -> Tensor:
    """The mean of h over the pairs of other rows."""
    left = len(h) - len(rows)
    total = h.sum() - 2 * h[rows].sum() + h[rows][:, rows].sum()
    return total / (left * (left - 1))


def over_seeds(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and half of the width of its 95 % interval over new seeds and new photographs.

    All seeds show the same photographs, so their error does not shrink with the number of seeds: it is added to the variance of the
    mean over seeds. For one seed the interval is over photographs alone.

    Args:
        errors: each value's standard error over photographs.
    """
    mean = float(np.mean(values))
    of_photographs = float(np.mean(np.square(errors)))
    if len(values) < 2:
        return mean, float(stats.norm.ppf(1 - LEVEL / 2)) * math.sqrt(of_photographs)
    of_seeds = float(np.var(values, ddof=1)) / len(values)
    quantile = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1))
    return mean, quantile * math.sqrt(of_seeds + of_photographs)

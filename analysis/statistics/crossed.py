"""Methods compared over random seeds and random photographs: crossed random effects.

    y(arm, seed, photograph) = arm + photograph + arm x photograph + seed(arm) + error

Photographs are crossed with arms, seeds nested in arms. This is the multi-reader multi-case analysis of diagnostic imaging
(Obuchowski & Rockette 1995; Hillis 2007), with seeds for readers and photographs for cases. Its conclusions are about methods:
they would hold for new seeds on new photographs of the same kind.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 1000  # the largest number that a plan considers

_roots, _weights = np.polynomial.legendre.leggauss(200)
NODES = (_roots + 1) / 2
WEIGHTS = _weights / 2  # Gauss-Legendre quadrature over probabilities

Matrix = Float[np.ndarray, "_seeds photographs"]


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference, its variance over seeds and photographs, and Satterthwaite's degrees of freedom.

    `parts` are A, B and C: the variance due to seeds, the variance due to photographs, and the error counted in both.
    """

    value: float
    variance: float
    df: float
    parts: tuple[float, float, float]

    @property
    def is_known(self) -> bool:
        """Whether there are enough seeds and photographs to generalise beyond them."""
        return math.isfinite(self.variance) and self.df > 0

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval of level 1 - `level`; NaN if the estimate is not known."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float = LEVEL) -> float:
        """Half of the interval's width."""
        return (
            float(stats.t.ppf(1 - level / 2, self.df)) * math.sqrt(self.variance)
            if self.is_known
            else float("nan")
        )

    def p(self) -> float:
        """The two-sided p-value against 0; 1 if the estimate is not known."""
        if not self.is_known:
            return 1.0
        if self.variance == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / math.sqrt(self.variance), self.df))

    def p_equivalent(self, margin: float) -> float:
        """TOST: the larger of the two one-sided p-values for the value to lie within ± margin (Schuirmann 1987)."""
        if not self.is_known:
            return 1.0
        error = max(math.sqrt(self.variance), 1e-300)
        return float(
            max(
                stats.t.sf((self.value + margin) / error, self.df),
                stats.t.cdf((self.value - margin) / error, self.df),
            )
        )

    def power(self, difference: float, level: float = LEVEL) -> float:
        """The probability that such a design calls a true difference of this size significant: noncentral t; 0 if not known."""
        if not self.is_known:
            return 0.0
        if self.variance == 0:
            return 1.0
        critical = float(stats.t.ppf(1 - level / 2, self.df)) * _scales(self.df)
        shift = abs(difference) / math.sqrt(self.variance)
        beyond = stats.norm.cdf(shift - critical) + stats.norm.cdf(-shift - critical)
        return float(beyond @ WEIGHTS)

    def detectable(self, level: float = LEVEL) -> float:
        """The smallest difference that such a design finds with 80 % power; infinite if the estimate is not known."""
        if not self.is_known:
            return float("inf")
        error = math.sqrt(self.variance)
        critical = float(stats.t.ppf(1 - level / 2, self.df))
        largest = 4 * error * (critical + 1)  # beyond the critical value by far
        return (
            float(optimize.brentq(lambda size: self.power(size, level) - POWER, 0.0, largest))
            if error
            else 0.0
        )


@dataclass(frozen=True)
class Components:
    """Variances of one difference, of seeds in each arm, of error and of photographs; they predict those of other designs."""

    seeds: tuple[float, ...]  # one per arm that has seeds
    errors: tuple[float, ...]
    photographs: float

    def design(self, seeds: int, photographs: int, value: float = 0.0) -> Estimate:
        """The estimate that a design with this many seeds per arm and this many photographs would give."""
        error = sum(self.errors, 0.0)
        over_seeds = [
            (own + mse / photographs) / seeds
            for own, mse in zip(self.seeds, self.errors, strict=True)
        ]
        b = (self.photographs + error / seeds) / photographs
        c = error / (seeds * photographs)
        return _estimate(value, over_seeds, [seeds] * len(over_seeds), b, photographs, c)

    def seeds_for(self, difference: float, photographs: int, level: float = LEVEL) -> int | None:
        """The fewest seeds that find a difference with 80 % power; None if no number does: then photographs are too few."""
        candidates = range(2, MOST_SEEDS + 1)
        position = bisect_left(
            candidates,
            True,
            key=lambda s: self.design(s, photographs).power(difference, level) >= POWER,
        )
        return candidates[position] if position < len(candidates) else None

    def seeds_range(
        self, difference: float, photographs: int, degrees: int, level: float = LEVEL
    ) -> tuple[int, int] | None:
        """The fewest seeds at both ends of an 80 % interval of the variance of seeds, which few seeds tell only roughly.

        Args:
            degrees: of freedom of that variance: the seeds of both arms less one each.

        Returns:
            None if no number of seeds does; MOST_SEEDS as the upper end if none does there.
        """
        factors = (
            [degrees / float(stats.chi2.ppf(q, degrees)) for q in (0.9, 0.1)]
            if degrees
            else [1.0, 1.0]
        )
        low, high = (
            self._with_seed_variance(factor).seeds_for(difference, photographs, level)
            for factor in factors
        )
        return None if low is None else (low, MOST_SEEDS if high is None else high)

    def _with_seed_variance(self, factor: float) -> "Components":
        return replace(self, seeds=tuple(factor * variance for variance in self.seeds))


@lru_cache(maxsize=4096)
def _scales(df: float) -> Float[np.ndarray, " nodes"]:
    """√(χ² / df) at the quantiles NODES: t is normal given this scale, which gives the noncentral t where scipy's own fails."""
    return np.asarray(np.sqrt(stats.chi2.ppf(NODES, df) / df))


def one_method(y: Matrix) -> Estimate:
    """The mean of a method; a matrix with one row is an arm without seeds."""
    return _from_matrices([y], y.mean(axis=0))


def two_methods(first: Matrix, second: Matrix) -> Estimate:
    """first - second on the same photographs; a matrix with one row is an arm without seeds, such as a baseline."""
    return _from_matrices([first, second], first.mean(axis=0) - second.mean(axis=0))


def one_method_twice(first: Matrix, second: Matrix) -> Estimate:
    """first - second where both rows of a number are the same network, seen in two ways: paired by seed and photograph."""
    return one_method(first - second)


def components(first: Matrix, second: Matrix) -> Components:
    """The variance components of a difference, none below 0."""
    with_seeds = [y for y in (first, second) if len(y) > 1]
    errors = [_residual(y) for y in with_seeds]
    photographs = first.shape[1]
    seeds = [
        max(float(y.mean(axis=1).var(ddof=1)) - mse / photographs, 0.0)
        for y, mse in zip(with_seeds, errors, strict=True)
    ]
    d = first.mean(axis=0) - second.mean(axis=0)
    noise = sum((mse / len(y) for y, mse in zip(with_seeds, errors, strict=True)), 0.0)
    return Components(tuple(seeds), tuple(errors), max(float(d.var(ddof=1)) - noise, 0.0))


def _from_matrices(arms: Sequence[Matrix], d: Float[np.ndarray, " photographs"]) -> Estimate:
    photographs = len(d)
    value = float(d.mean()) if photographs else float("nan")
    with_seeds = [y for y in arms if len(y) > 1]
    if photographs < 2:
        return Estimate(value, float("nan"), 0.0, (float("nan"),) * 3)
    over_seeds = [float(y.mean(axis=1).var(ddof=1)) / len(y) for y in with_seeds]
    c = sum((_residual(y) / (len(y) * photographs) for y in with_seeds), 0.0)
    return _estimate(
        value,
        over_seeds,
        [len(y) for y in with_seeds],
        float(d.var(ddof=1)) / photographs,
        photographs,
        c,
    )


def _estimate(
    value: float,
    over_seeds: Sequence[float],
    seeds: Sequence[int],
    b: float,
    photographs: int,
    c: float,
) -> Estimate:
    """V = max(A + B - C, A, B); df = V² / (Σ A_arm² / (S - 1) + B² / (P - 1))."""
    a = sum(over_seeds, 0.0)
    v = max(a + b - c, a, b)
    spent = sum(
        (part**2 / (s - 1) for part, s in zip(over_seeds, seeds, strict=True)), 0.0
    ) + b**2 / (photographs - 1)
    return Estimate(value, v, v**2 / spent if spent > 0 else float(photographs - 1), (a, b, c))


def _residual(y: Matrix) -> float:
    """Residual mean square of the seed x photograph table."""
    residuals = y - y.mean(axis=0) - y.mean(axis=1, keepdims=True) + y.mean()
    return float((residuals**2).sum() / ((y.shape[0] - 1) * (y.shape[1] - 1)))

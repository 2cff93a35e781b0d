"""Crossed random effects against published check values, a naive reckoning, and simulated studies."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.crossed import (
    Estimate,
    components,
    one_method,
    one_method_twice,
    two_methods,
)

Y1 = np.array([[10, 12, 9, 14], [11, 12.5, 9.5, 15], [9.5, 11, 9, 13]])
Y2 = np.array([[11, 12, 10, 14.5], [12.5, 13, 11.5, 16], [11, 12.5, 10, 15]])


def figures(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.variance**0.5, estimate.df, *estimate.interval(), estimate.p()]


def test_the_check_values() -> None:
    assert figures(two_methods(Y1, Y2)) == pytest.approx(
        [-1.125, 0.588764, 4.1906, -2.7308, 0.4808, 0.12538], abs=2e-4
    )
    baseline = np.array([[11.0, 12, 10, 14]])
    expected = [-0.458333, 0.442923, 2.9049, -1.8944, 0.9777, 0.37911]
    assert figures(two_methods(Y1, baseline)) == pytest.approx(expected, abs=2e-4)
    mirrored = two_methods(baseline, Y1)
    assert mirrored.value == pytest.approx(0.458333, abs=1e-5) and mirrored.p() == pytest.approx(
        0.37911, abs=1e-4
    )


def test_without_seeds_it_is_the_paired_t_test() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 1, 30))
    estimate = two_methods(a, b)
    assert estimate.p() == pytest.approx(
        stats.ttest_rel(a[0], b[0]).pvalue
    ) and estimate.df == pytest.approx(29)


def test_equivalence_is_two_one_sided_tests() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 1, 30))
    d = a[0] - b[0]
    low = stats.ttest_1samp(d, -1.0, alternative="greater").pvalue
    high = stats.ttest_1samp(d, 1.0, alternative="less").pvalue
    assert two_methods(a, b).p_equivalent(1.0) == pytest.approx(max(low, high))


def study(
    draw: np.random.Generator,
    seeds: tuple[int, int],
    photographs: int,
    deviation: float,
    shift: float = 0.0,
    kind: str = "normal",
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms whose photographs share their difficulty, and differ in how they like an arm."""

    def noise(size: tuple[int, ...]) -> np.ndarray:
        return draw.standard_t(4, size) / 2**0.5 if kind == "heavy" else draw.normal(size=size)

    shared = 3 * noise((1, photographs))
    arms = []
    for number, s in enumerate(seeds):
        y = (
            10
            + shared
            + noise((1, photographs))
            + deviation * noise((s, 1))
            + noise((s, photographs))
            + shift * number
        )
        arms.append(np.clip(y, 0, 12) if kind == "bounded" else y)
    return arms[0], arms[1]


CASES = [
    *[((s, s), p, d, "normal") for s in (2, 3, 5, 10) for p in (100, 800) for d in (0.0, 0.3, 0.7)],
    ((3, 3), 100, 0.7, "heavy"),
    ((5, 5), 100, 0.3, "bounded"),
    ((2, 6), 100, 0.3, "normal"),
    ((3, 10), 100, 0.7, "normal"),
]
STUDIES = 300


def test_false_positives_and_coverage_over_simulated_studies() -> None:
    """5 % nominal. Each case is allowed the noise of its simulations; all cases together are held to 3.5 to 6.5 %."""
    draw = np.random.default_rng(2026)
    rates = {}
    for case in CASES:
        estimates = [
            two_methods(*study(draw, case[0], case[1], case[2], kind=case[3]))
            for _ in range(STUDIES)
        ]
        rates[case] = np.mean([one.p() < 0.05 for one in estimates])
        covered = np.mean([one.interval()[0] <= 0 <= one.interval()[1] for one in estimates])
        assert covered >= 0.92  # within the noise of the simulations
    assert 0.035 <= np.mean(list(rates.values())) <= 0.055
    assert all(
        0.005 <= rate <= 0.065 + 3 * (0.05 * 0.95 / STUDIES) ** 0.5 for rate in rates.values()
    ), rates


def test_seeds_taken_for_the_method_would_call_half_of_the_studies() -> None:
    """What this replaces: photographs alone as random call a method different from itself again and again."""
    draw = np.random.default_rng(1)
    wrong = []
    for _ in range(200):
        a, b = study(draw, (3, 3), 800, 0.7)
        wrong.append(stats.ttest_1samp(a.mean(axis=0) - b.mean(axis=0), 0).pvalue < 0.05)
    assert np.mean(wrong) > 0.5


def test_one_methods_interval_covers_its_mean() -> None:
    draw = np.random.default_rng(3)
    covered = []
    for _ in range(600):
        low, high = one_method(study(draw, (5, 5), 100, 0.7)[0]).interval()
        covered.append(low <= 10 <= high)
    assert 0.92 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(("seeds", "photographs", "deviation"), [(3, 100, 0.3), (5, 400, 0.7)])
def test_power_is_what_the_formula_says(seeds: int, photographs: int, deviation: float) -> None:
    draw = np.random.default_rng(5)
    pilots = [components(*study(draw, (20, 20), 400, deviation)) for _ in range(5)]
    shift = float(np.mean([pilot.design(seeds, photographs).detectable() for pilot in pilots]))
    told_apart = [
        two_methods(*study(draw, (seeds, seeds), photographs, deviation, shift)).p() < 0.05
        for _ in range(600)
    ]
    assert 0.7 <= np.mean(told_apart) <= 0.9


def test_components_are_those_that_were_simulated() -> None:
    draw = np.random.default_rng(7)
    estimates = [components(*study(draw, (8, 8), 300, 0.7)) for _ in range(200)]
    assert np.mean([f.seeds for f in estimates]) == pytest.approx(0.49, rel=0.1)
    assert np.mean([f.errors for f in estimates]) == pytest.approx(1.0, rel=0.02)
    # an arm x photograph of 1 in each arm
    assert np.mean([f.photographs for f in estimates]) == pytest.approx(2.0, rel=0.05)


def test_a_plan_names_the_fewest_seeds_or_says_that_photographs_are_too_few() -> None:
    pilot = components(*study(np.random.default_rng(9), (10, 10), 400, 0.7))
    needed = pilot.seeds_for(1.0, 400)
    assert (
        needed is not None
        and pilot.design(needed, 400).detectable()
        <= 1.0
        < pilot.design(needed - 1, 400).detectable()
    )
    assert pilot.seeds_for(0.01, 50) is None


def test_without_any_spread_the_photographs_alone_count() -> None:
    """Two constant methods: the variance is 0, and its degrees of freedom are those of the photographs."""
    estimate = two_methods(np.full((3, 8), 2.0), np.full((3, 8), 1.0))
    assert (estimate.value, estimate.variance, estimate.df) == (1.0, 0.0, 7.0)


def test_what_cannot_be_known_is_not_claimed() -> None:
    lone = two_methods(Y1[:, :1], Y2[:, :1])
    assert (
        lone.p() == 1
        and np.isnan(lone.interval()[0])
        and lone.detectable() == np.inf
        and lone.p_equivalent(9.0) == 1
    )
    same = two_methods(Y1, Y1)
    assert same.p() == 1


def test_power_and_the_detectable_difference_are_the_noncentral_t() -> None:
    """Against a simulation of Student's t itself, where few degrees of freedom make the usual sum of two quantiles wrong."""
    estimate = Estimate(0.0, 0.25, 3.0, (0.0, 0.25, 0.0))
    draw = np.random.default_rng(0)
    for difference in (1.0, 2.0, 3.0):
        z = draw.normal(difference / 0.5, 1.0, 200_000)
        t = z / np.sqrt(draw.chisquare(3, 200_000) / 3)
        assert estimate.power(difference) == pytest.approx(
            np.mean(np.abs(t) > stats.t.ppf(0.975, 3)), abs=0.005
        )
    assert estimate.power(estimate.detectable()) == pytest.approx(0.8, abs=1e-6)


def test_the_variance_is_no_smaller_than_one_of_its_parts() -> None:
    """V = max(A + B - C, A, B): where the error counted in both is large, the largest part remains."""
    # all error: seeds and photographs have equal means
    checker = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    seeds_apart = checker + np.array([[0.5], [-0.5]])
    estimate = two_methods(seeds_apart, np.zeros((1, 4)))
    a, b, c = estimate.parts
    assert a > 0 and a + b - c < a and estimate.variance == max(a, b)


def test_one_network_in_two_views_is_paired_by_seed() -> None:
    """The view's effect is small beside the spread of seeds, which both views share."""
    draw = np.random.default_rng(4)
    seeds = 3 * draw.normal(size=(4, 1))
    first = 12 + seeds + draw.normal(scale=0.1, size=(4, 50))
    second = first + 0.3 + draw.normal(scale=0.1, size=(4, 50))
    paired, apart = one_method_twice(first, second), two_methods(first, second)
    assert paired.value == pytest.approx(apart.value)
    assert paired.half_width() < apart.half_width() / 10
    assert paired.interval()[0] < -0.3 < paired.interval()[1]


def test_a_range_of_seeds_holds_the_estimate() -> None:
    pilot = components(*study(np.random.default_rng(9), (4, 4), 400, 0.7))
    middle = pilot.seeds_for(1.0, 400)
    needed = pilot.seeds_range(1.0, 400, degrees=6)
    assert (
        middle is not None
        and needed is not None
        and needed[0] <= middle <= needed[1]
        and needed[0] < needed[1]
    )

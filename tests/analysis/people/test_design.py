"""What a design says of itself, in words that raters read."""

from analysis.people.design import PROTOCOLS, Design
from analysis.people.planning.power import OPINION, Assumptions


def test_minutes_grow_with_trials_and_exposure() -> None:
    # 2 minutes of instructions, then 40 trials of 5 s
    assert Design("pair", 0, 40, exposure_ms=1000).minutes == 6
    assert Design("opinion", 0, 40).minutes == 5
    assert Design("pair", 0, 160, practice=5, exposure_ms=1000).minutes == 16


def test_a_preference_does_not_say_who_coloured_them() -> None:
    """Beside random colours one photograph is real."""
    assert "computer" not in PROTOCOLS["preference"].question


def test_assumptions_are_said_in_points() -> None:
    assert Assumptions(mean=0.3, seeds=0.02).in_words("pair") == (
        "30% fooled; raters by ± 10, photographs by ± 10, an arm's suitability to a photograph by ± 10, seeds by ± 2 points"
    )
    assert OPINION.in_words("opinion").startswith("a mean score of 3.0; raters by ± 0.40")

"""What the study's owner sees while raters are at it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from studies.pages.ratings.overview import _plain, overview
from studies.pages.ratings.sessions import Sessions


def test_one_missed_plate_is_a_check_that_is_not_passed(
    make_sessions: Callable[..., Sessions], make_rater: Callable[[Sessions], Any]
) -> None:
    sessions = make_sessions()
    good, poor = make_rater(sessions), make_rater(sessions)
    good.begin()
    poor.post("/begin", poor.begin_with)
    numbers = poor.right_numbers()
    numbers[2] = ""  # the others are right
    poor.post("/screen", {"width": 1280, "height": 800, "numbers": numbers})
    seen = overview(sessions.study, sessions.store)
    assert (
        seen["test"] == "pair"
        and seen["raters"]["begun"] == 2
        and seen["raters"]["screen not passed"] == 1
    )


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (np.nan, None),
        (np.inf, None),
        (1.23456, 1.235),
        (np.float64(2), 2.0),
        ("", ""),
    ],
)
def test_values_that_json_can_hold(value: object, plain: object) -> None:
    assert _plain(value) == plain

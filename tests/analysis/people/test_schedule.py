"""The schedule of the human study: balance, blinding and live dealing, for every protocol."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from analysis.people.design import OPPOSITE, RANDOM, TESTS, TRUTH, Design, TestName, Trial
from analysis.people.schedule import Schedule
from common.errors import ColourbenchError

ARMS = {"cgan": [0, 1, 2], "egan": [0, 1, 2], "wgan_gp": [5, 6]}
IMAGES = [f"{number:02d}.png#0" for number in range(34)]


def schedule(
    test: TestName = "pair",
    raters: int = 12,
    trials: int = 28,
    practice: int = 4,
    secret: str = "secret",
) -> Schedule:
    return Schedule(Design(test, raters, trials, seed=1, practice=practice), IMAGES, ARMS, secret)


def judged_of(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.kind == "test"]


def by_rater(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    return {
        rater: [t for t in trials if t.rater == rater]
        for rater in dict.fromkeys(t.rater for t in trials)
    }


def spread(counts: Sequence[int]) -> int:
    return max(counts) - min(counts)


@pytest.mark.parametrize("test", TESTS)
class TestBalance:
    def test_a_rater_sees_each_photograph_once_and_every_option_equally_often(
        self, test: TestName
    ) -> None:
        plan = schedule(test)
        for own_trials in by_rater(plan.plan()).values():
            shown = [t.image for t in own_trials if t.kind != "repeat"]
            assert len(own_trials) == 28 + 4 and len(set(shown)) == len(shown)
            options = Counter(
                (t.arm, t.other)
                for t in judged_of(own_trials)
                if not (test == "single" and t.arm == TRUTH)
            )
            assert set(options) == set(plan.options) - (
                {(TRUTH, "")} if test == "single" else set()
            )
            assert spread(list(options.values())) <= 1

    def test_every_photograph_comes_in_every_option_equally_often_over_the_raters(
        self, test: TestName
    ) -> None:
        plan = schedule(test, raters=24)
        trials = judged_of(plan.plan())
        cells = Counter((t.image, t.arm, t.other) for t in trials)
        options = [
            option for option in plan.options if not (test == "single" and option[0] == TRUTH)
        ]
        images = [image for image in IMAGES if image not in plan.practice_images]
        counts = [cells[(image, *option)] for image in images for option in options]
        assert spread(counts) <= 2 and min(counts) >= 1

    def test_sides_are_balanced_for_raters_and_options(self, test: TestName) -> None:
        trials = schedule(test).plan()
        if test in ("single", "opinion"):
            assert {t.side for t in trials} == {""}
            return
        for own_trials in by_rater(trials).values():
            sides = Counter(t.side for t in own_trials if t.kind in ("test", "vigilance"))
            assert abs(sides["left"] - sides["right"]) <= 1
        options = Counter((t.arm, t.other, t.side) for t in judged_of(trials))
        for arm, other in {(t.arm, t.other) for t in judged_of(trials)}:
            assert abs(options[arm, other, "left"] - options[arm, other, "right"]) <= 4

    def test_an_arms_seeds_are_shown_equally_often(self, test: TestName) -> None:
        trials = judged_of(schedule(test, raters=24).plan())
        shown = Counter((t.arm, t.seed) for t in trials) + Counter(
            (t.other, t.other_seed) for t in trials if t.other
        )
        for arm, seeds in ARMS.items():
            counts = [shown[arm, seed] for seed in seeds]
            assert spread(counts) <= 0.25 * np.mean(counts)
        assert {seed for (arm, seed) in shown if arm == TRUTH} <= {None}

    def test_control_trials(self, test: TestName) -> None:
        own_trials = by_rater(schedule(test).plan())["rater-01"]
        kinds = Counter(t.kind for t in own_trials)
        assert (kinds["practice"], kinds["vigilance"], kinds["repeat"]) == (4, 6, 1)
        assert [t.kind for t in own_trials[:4]] == ["practice"] * 4 and {
            t.kind for t in own_trials[4:-1]
        } == {"test", "vigilance"}
        assert all((RANDOM in (t.arm, t.other)) == (t.kind == "vigilance") for t in own_trials)
        [repeat] = [t for t in own_trials if t.kind == "repeat"]
        [first] = [t for t in own_trials if t.kind == "test" and t.image == repeat.image]
        assert (repeat.arm, repeat.seed, repeat.other) == (first.arm, first.seed, first.other)
        assert repeat.side == OPPOSITE[first.side]

    def test_practice_has_photographs_of_its_own(self, test: TestName) -> None:
        plan = schedule(test)
        trials = plan.plan()
        practised = {t.image for t in trials if t.kind == "practice"}
        assert practised == set(plan.practice_images) and not practised & {
            t.image for t in trials if t.kind != "practice"
        }

    def test_live_dealing_is_balanced_when_raters_leave(self, test: TestName) -> None:
        """Every third rater leaves after some trials; what they did not answer does not count."""
        plan, draw = schedule(test), np.random.default_rng(0)
        answered: list[Trial] = []
        for number in range(60):
            block = plan.block(f"r{number}", 1, answered)
            answered += block[: int(draw.integers(5, 20))] if number % 3 == 0 else block
        cells = Counter((t.image, t.arm, t.other) for t in judged_of(answered))
        options = [
            option for option in plan.options if not (test == "single" and option[0] == TRUTH)
        ]
        images = [image for image in IMAGES if image not in plan.practice_images]
        assert spread([cells[(image, *option)] for image in images for option in options]) <= 3


def test_a_raters_blocks_share_no_photograph() -> None:
    plan = Schedule(Design("pair", 1, 10, practice=2), IMAGES, ARMS, "secret")
    own_trials: list[Trial] = []
    while plan.fits(len(plan.left(own_trials))):
        own_trials += plan.block("r", 1 + max((t.block for t in own_trials), default=0), own_trials)
    shown = [t.image for t in own_trials if t.kind != "repeat"]
    assert len(set(shown)) == len(shown) and {t.block for t in own_trials} == {1, 2, 3}
    assert [t.block for t in own_trials if t.kind == "practice"] == [1, 1]
    assert len({t.code for t in own_trials}) == len(own_trials)
    with pytest.raises(ColourbenchError, match="no photographs left"):
        plan.block("r", 4, own_trials)


def test_codes_are_opaque_and_the_schedule_is_seeded() -> None:
    first, again, other_key = (
        schedule(secret=secret).plan() for secret in ("secret", "secret", "other")
    )
    assert again == first
    assert not {t.code for t in other_key} & {t.code for t in first}
    assert len({t.code for t in first}) == len(first)
    # the public seed does not tell the sides
    assert [t.side for t in other_key] != [t.side for t in first]
    # no spreadsheet takes a code for a number
    assert all(not t.code.replace("e", "").isdigit() for t in first)


def test_designs_that_do_not_fit() -> None:
    images = IMAGES[:30]
    with pytest.raises(
        ColourbenchError,
        match=r"40 trials need 38 photographs, .* there are 30; use --trials 32 or fewer",
    ):
        Schedule(Design("pair", 1, 40), images, ARMS, "s").plan()
    assert len(Schedule(Design("pair", 1, 32), images, ARMS, "s").plan()) == 32
    with pytest.raises(ColourbenchError, match="too few for 3 arms"):
        Schedule(Design("pair", 1, 4), images, ARMS, "s").plan()
    with pytest.raises(ColourbenchError, match="two arms"):
        Schedule(Design("preference", 1, 8), images, {"cgan": [0]}, "s").plan()


def test_half_of_what_is_shown_alone_is_real() -> None:
    for own_trials in by_rater(schedule("single").plan()).values():
        real = Counter(t.arm == TRUTH for t in judged_of(own_trials))
        assert abs(real[True] - real[False]) <= 1


def test_right_answers() -> None:
    pair = Trial("c", "r", 1, "test", "i", "cgan", "left")
    assert pair.right_answer == "left"
    assert Trial("c", "r", 1, "test", "i", TRUTH).right_answer == "real"
    assert Trial("c", "r", 1, "test", "i", RANDOM).right_answer == "fake"
    assert (
        Trial("c", "r", 1, "vigilance", "i", TRUTH, "right", other=RANDOM).right_answer == "right"
    )
    assert Trial("c", "r", 1, "test", "i", "cgan", "right", other="egan").right_answer == ""

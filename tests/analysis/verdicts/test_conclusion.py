"""A study's answer in one sentence."""

from dataclasses import fields
from typing import Any

import pytest

from analysis.verdicts.conclusion import conclusion, listed
from analysis.verdicts.verdict import Answer


def answer(first: str, second: str, outcome: str, better: str = "") -> Answer:
    given: dict[str, Any] = dict.fromkeys((field.name for field in fields(Answer)), 0)
    given |= {"first": first, "second": second, "outcome": outcome, "better": better}
    return Answer(**given)


def test_each_arm_is_named_once_with_its_pairs_own_verdict() -> None:
    answers = [
        answer("L1", "cgan", "better", "L1"),
        answer("wgan", "L1", "not settled"),
        answer("egan", "L1", "equivalent"),
        answer("L1", "slow", "slightly better", "L1"),
        answer("cgan", "egan", "better", "egan"),
        answer("grey", "cgan", "better", "grey"),
        answer("grey", "L1", "better", "L1"),
    ]
    assert conclusion(["L1", "egan", "slow", "wgan", "cgan"], answers) == (
        "L1 and egan are equivalent; L1 is better than slow, by less than matters; L1 is better than cgan; "
        "L1 against wgan is not settled; better than grey is L1"
    )


@pytest.mark.parametrize(
    ("outcome", "better", "said"),
    [
        ("better", "a", "a is better than b"),
        ("equivalent", "", "a and b are equivalent"),
        ("not settled", "", "a against b is not settled"),
        # the better mean need not be the better method: then nothing is claimed for it
        ("better", "b", "a against b is not settled"),
    ],
)
def test_two_arms(outcome: str, better: str, said: str) -> None:
    assert conclusion(["a", "b"], [answer("b", "a", outcome, better)]) == said


def test_a_pair_that_was_not_compared_is_not_settled() -> None:
    assert conclusion(["a", "b", "c"], []) == "a against b or c is not settled"
    assert conclusion(["a"], []) == ""


def test_lists_read_as_prose() -> None:
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]

"""Splits: by content alone, as published, and never empty."""

import pytest

from common.data.manifest import ShardConfig
from common.data.splits import HASH_DIGITS, assign_splits

CONFIG = ShardConfig(size=32, validation=0.2, test=0.3)


def at(position: float) -> str:
    """A content hash at this place of [0, 1)."""
    return f"{int(position * 16**HASH_DIGITS):0{HASH_DIGITS}x}" + "0" * 48


def splits(*photographs: tuple[float, str | None], config: ShardConfig = CONFIG) -> list[str]:
    return assign_splits([(at(position), published) for position, published in photographs], config)


def test_a_place_decides_where_nothing_was_published() -> None:
    assert splits(
        (0.0, None), (0.29, None), (0.31, None), (0.49, None), (0.51, None), (0.99, None)
    ) == [
        "test",
        "test",
        "validation",
        "validation",
        "train",
        "train",
    ]


def test_published_splits_are_kept() -> None:
    assert splits((0.1, "train"), (0.9, "test"), (0.9, "validation")) == [
        "train",
        "test",
        "validation",
    ]


def test_validation_comes_from_the_training_set_where_none_was_published() -> None:
    assert splits((0.1, "train"), (0.9, "train"), (0.9, "test")) == ["validation", "train", "test"]


def test_a_published_validation_set_alone_is_the_test_set() -> None:
    assert splits((0.1, "train"), (0.9, "train"), (0.1, "validation")) == [
        "validation",
        "train",
        "test",
    ]


def test_published_splits_may_be_passed_over() -> None:
    config = CONFIG.model_copy(update={"splits": "random"})
    assert splits((0.1, "train"), (0.4, "test"), (0.9, "validation"), config=config) == [
        "test",
        "validation",
        "train",
    ]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (
            (0.55, 0.7, 0.9),
            ["test", "validation", "train"],
        ),  # the nearest to the test's range, then to the validation's
        ((0.1, 0.2, 0.28), ["test", "train", "validation"]),
        ((0.6, 0.7, 0.95, 0.99), ["test", "validation", "train", "train"]),
    ],
)
def test_an_empty_split_takes_the_photograph_nearest_to_it(
    places: tuple[float, ...], expected: list[str]
) -> None:
    given = splits(*((place, None) for place in places))
    assert sorted(set(given)) == ["test", "train", "validation"]
    assert given == expected

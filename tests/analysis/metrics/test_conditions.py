import numpy as np
import torch
from torch import Tensor

from analysis.metrics import conditions
from common.colour import film, lab
from common.data.shards import Dataset


def test_hints_are_given_and_paid(dataset: Dataset) -> None:
    """A colouriser that only repeats its hints is grey without one, and better the more it is told."""

    def repeats(L: Tensor, label: Tensor | None, hints: Tensor | None) -> Tensor:
        return torch.zeros(len(L), 2, *L.shape[2:]) if hints is None else hints[:, :2]

    table = conditions.measure(
        repeats, dataset.split("test"), conditions.names(["hints"], True), "cpu"
    )
    means = table.groupby("condition", sort=False)["delta_e"].mean()
    assert list(means.index) == [f"hints_{count}" for count in conditions.HINTS]
    assert (np.diff(means.to_numpy()) < 0).all()


def test_films_change_what_is_seen_and_not_what_is_judged(dataset: Dataset) -> None:
    """A colouriser that knows the truth is perfect on every film, whose lightness it sees."""
    split = dataset.split("test")
    rgb = split.photographs(np.arange(len(split)))
    L, ab = lab.to_network(rgb)
    seen: list[Tensor] = []

    def knows(shown: Tensor, label: Tensor | None, hints: Tensor | None) -> Tensor:
        seen.append(shown)
        return ab

    names = conditions.names(["films"], False)
    table = conditions.measure(knows, split, names, "cpu")
    assert (
        len(split) <= conditions.BATCH
        and table["delta_e"].max() < 1e-6
        and len(table) == len(split) * len(names)
    )
    assert torch.equal(seen[0], L) and torch.equal(
        seen[2], film.expose(rgb, [film.Shot(film.FILMS["orthochromatic"])] * len(rgb))
    )


def test_a_generator_without_hints_is_only_tested_without() -> None:
    assert conditions.names(["hints"], False) == ["hints_0"] and conditions.names([], True) == []

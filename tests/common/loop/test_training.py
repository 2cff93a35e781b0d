"""The loop: phases end where they should, however large their steps are."""

from collections.abc import Iterator

import pytest
import torch

from common.data.batches import Batch, BatchConfig, Batches
from common.data.shards import Dataset
from common.loop.engine import Engine
from common.loop.training import Losses, Phase, Progress, train

STEP = 8  # images


def phase(name: str, amount: float, **fields: object) -> Phase:
    def step(batches: Iterator[Batch]) -> Losses:
        next(batches)
        return {name: torch.zeros(())}

    return Phase(name, step, amount, lambda: (0, 0), **fields)  # type: ignore[arg-type]


def stream(dataset: Dataset) -> Batches:
    return Batches(dataset.split("train"), BatchConfig(size=STEP), 0)


def ends(
    phases: list[Phase], batches: Batches, engine: Engine, progress: Progress, looks: list[int]
) -> dict[str, int]:
    """The images seen when each phase made its last step."""
    images: dict[str, int] = {}

    def note(now: Progress, losses: Losses) -> None:
        images[next(iter(losses))] = now.images

    train(phases, batches, "images", progress, engine, [note], lambda now: looks.append(now.images))
    return images


def test_what_a_phase_takes_too_much_the_next_one_has_less(
    dataset: Dataset, engine: Engine
) -> None:
    """Ten rounds with steps that do not fit overshoot by one step in all, not by one each."""
    phases = [phase(f"{number}", 10.0) for number in range(10)]
    ended = ends(phases, stream(dataset), engine, Progress(), [])
    assert all(
        10 * (number + 1) <= ended[f"{number}"] < 10 * (number + 1) + STEP for number in range(10)
    )


def test_an_early_end_leaves_the_rest_unused(dataset: Dataset, engine: Engine) -> None:
    batches = stream(dataset)
    phases = [phase("a", 100.0, ended=lambda: batches.images >= 24), phase("b", 16.0)]
    assert ends(phases, batches, engine, Progress(), []) == {"a": 24, "b": 40}


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_phase_is_looked_at_before_its_first_step_and_not_when_it_goes_on(
    goes_on: bool, dataset: Dataset, engine: Engine
) -> None:
    batches, looks = stream(dataset), list[int]()
    phases = [phase("a", 16.0), phase("b", 16.0, looks_first=True)]
    progress = (
        Progress(phase=1, phase_start=16.0, phase_begun=True, images=24) if goes_on else Progress()
    )
    batches.images = progress.images
    ends(phases, batches, engine, progress, looks)
    assert looks == ([] if goes_on else [16])

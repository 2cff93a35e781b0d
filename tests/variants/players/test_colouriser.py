"""What a colouriser says of itself: noise, hints, and the time that its statistics took."""

import pytest
import torch

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from variants.regression import Regression, RegressionConfig


def colouriser_of(engine: Engine, **generator: object) -> Regression:
    network = {
        "base_width": 4,
        **{key: value for key, value in generator.items() if key == "dropout"},
    }
    settings = {key: value for key, value in generator.items() if key != "dropout"}
    return Regression(
        parse(RegressionConfig, {"generator": {"network": network, **settings}}), engine, Domain(32)
    )


@pytest.mark.parametrize(("dropout", "is_noisy"), [(0.0, False), (0.5, True)])
def test_dropout_alone_makes_versions(dropout: float, is_noisy: bool, engine: Engine) -> None:
    assert colouriser_of(engine, dropout=dropout).colourise.is_noisy is is_noisy


@pytest.mark.parametrize("hints", [False, True])
def test_hints_are_taken_where_the_network_was_built_for_them(hints: bool, engine: Engine) -> None:
    assert colouriser_of(engine, hints=hints).colourise.takes_hints is hints


def test_without_photographs_there_is_nothing_to_prepare(engine: Engine) -> None:
    colouriser = colouriser_of(engine).colourise
    assert colouriser.prepare() == {} and colouriser.statistics == {}


def test_statistics_are_computed_once(engine: Engine) -> None:
    asked: list[int] = []

    def stream(size: int):  # type: ignore[no-untyped-def]
        asked.append(size)
        while True:
            yield Batch(
                torch.rand(size, 1, 32, 32), torch.rand(size, 2, 32, 32), torch.full((size,), -1)
            )

    config = parse(RegressionConfig, {"generator": {"network": {"base_width": 4}}})
    colouriser = Regression(config, engine, Domain(32, stream=stream)).colourise
    took = colouriser.prepare()
    assert list(took) == ["calibration_seconds"] and 0 < took["calibration_seconds"] < 600
    colouriser(torch.zeros(1, 1, 32, 32))
    assert (
        colouriser.prepare()["calibration_seconds"] < took["calibration_seconds"]
        and len(asked) == 1
    )

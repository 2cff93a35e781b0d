"""Small models to be exported."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from common.config import parse
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.runs.configuration import RunConfig
from studies.use.models import Model
from variants.registry import build

Make = Callable[..., Model]


@pytest.fixture
def make_model(engine: Engine) -> Make:
    def make(labels: tuple[str, ...] = (), **generator: Any) -> Model:
        seed_everything(0)
        variant = {
            "name": "regression",
            "generator": {"network": {"base_width": 4}, "labels": bool(labels), **generator},
        }
        config = parse(RunConfig, {"variant": variant, "dataset": "none"})
        colouriser = build(config.variant, engine, Domain(32, len(labels))).colourise
        with torch.no_grad():
            for parameter in colouriser.network.parameters():
                parameter.mul_(3)
            # moves the batch statistics
            colouriser.network.train()(torch.rand(4, colouriser.network.inputs, 32, 32))
        return Model("m", colouriser, config, list(labels))

    return make

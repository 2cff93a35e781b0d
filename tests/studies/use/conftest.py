"""A small generator whose colours show, for everything that uses one."""

import pytest
import torch

from common.config import parse
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from variants.players.colouriser import Colouriser
from variants.regression import Regression, RegressionConfig


@pytest.fixture
def vivid(engine: Engine) -> Colouriser:
    """Trained on 32 pixels, without labels; freshly drawn weights colour so faintly that 8 bits show nothing, so they are tripled."""
    seed_everything(0)
    colouriser = Regression(parse(RegressionConfig, {"generator": {"network": {"base_width": 4}}}), engine, Domain(32)).colourise
    with torch.no_grad():
        for parameter in colouriser.network.parameters():
            parameter.mul_(3)
    return colouriser

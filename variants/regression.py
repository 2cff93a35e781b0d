"""The baseline without a critic: the generator trains on the reconstruction loss alone ("L1-only")."""

from collections.abc import Iterator
from typing import Literal

from common.data.batches import Batch
from common.loop.training import Losses
from variants.contract.variant import Variant, VariantConfig


class RegressionConfig(VariantConfig):
    """Reconstruction loss alone."""

    name: Literal["regression"] = "regression"
    """The variant."""


class Regression(Variant):
    """min_G E‖ab - G(L)‖_p."""

    Config = RegressionConfig

    def step(self, batches: Iterator[Batch]) -> Losses:
        """One generator update on the reconstruction loss."""
        return self.pretrain_generator(batches)

"""The baseline without a critic: the generator learns by reconstruction alone ("L1-only")."""

from collections.abc import Iterator
from typing import Any, Literal

from common.batches import Batch
from common.training import Losses
from variants.variant import Variant, VariantConfig


class RegressionConfig(VariantConfig):
    """Reconstruction alone."""

    name: Literal["regression"] = "regression"
    """The variant."""


class Regression(Variant):
    """min_G E‖ab - G(L)‖_p."""

    Config = RegressionConfig

    def step(self, batches: Iterator[Batch]) -> Losses:
        """One generator update by reconstruction."""
        return self.pretrain_generator(batches)

    def state_dict(self) -> dict[str, Any]:
        """The generator."""
        return {"generator": self.generator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the generator."""
        self.generator.load_state_dict(state["generator"])

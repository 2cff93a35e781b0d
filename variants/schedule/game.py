"""Optimiser settings for adversarial training, while generator and critic both train (NoGAN)."""

from pydantic import Field

from common.config import Settings, as_json
from variants.players.adam import AdamConfig


class GameConfig(Settings):
    """Optimiser settings for adversarial training; a field that is null keeps the value of each network's own optimiser.

    If any field is set, both networks start every adversarial phase with a new Adam, as in DeOldify.
    """

    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Learning rate of the generator; the critic's is this times critic.learning_rate_ratio. DeOldify: 1e-5 to 2e-5."""
    beta1: float | None = Field(default=None, ge=0, lt=1)
    """Decay rate of the first moment. DeOldify: 0."""
    beta2: float | None = Field(default=None, ge=0, lt=1)
    """Decay rate of the second moment. DeOldify: 0.9."""
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    """Decoupled weight decay. DeOldify: 1e-3."""
    encoder_rate: float | None = Field(default=None, ge=0, le=1)
    """The encoder's learning rate as a share of the generator's; 0 freezes its weights (DeOldify) but not its batch statistics."""

    @property
    def is_different(self) -> bool:
        """Whether any field is set."""
        return any(value is not None for value in as_json(self).values())

    def adam(self, own: AdamConfig, ratio: float = 1.0) -> AdamConfig:
        """A player's Adam settings for adversarial training; `ratio` is its learning rate divided by the generator's."""
        given = {
            name: value
            for name, value in as_json(self).items()
            if value is not None and name != "encoder_rate"
        }
        if "learning_rate" in given:
            given["learning_rate"] *= ratio
        return own.model_copy(update=given)

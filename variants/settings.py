"""What can be set of the players and of every variant, and which combinations make no sense."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from common.config import Settings, as_json
from common.networks.backbone_unet import BackboneUNetConfig
from common.networks.generator import NetworkConfig
from common.networks.patch_critic import PatchCriticConfig
from common.networks.unet import UNetConfig
from variants.adam import AdamConfig
from variants.inflection import InflectionConfig
from variants.reconstruction import L1Config, ReconstructionConfig

TestTime = Literal["calibrated", "running", "noise", "batch", "dropout"]


class GeneratorConfig(Settings):
    """The generator."""

    network: NetworkConfig = UNetConfig()
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""
    labels: bool = False
    """Condition it on the photograph's label (FiLM); the data set must have labels."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of its weights, which then does the colourising; 0 takes the last weights. Usual: 0.999."""
    recompute: bool = False
    """Gradient checkpointing: keep fewer activations and compute them again in the backward. Less memory, a third more time."""

    @model_validator(mode="after")
    def _sensible_encoder(self) -> "GeneratorConfig":
        network = self.network
        if isinstance(network, BackboneUNetConfig) and network.frozen:
            if not network.pretrained and not network.backbone_weights:
                raise ValueError("network.frozen would keep random weights; set pretrained=true or name backbone_weights")
            if network.encoder_rate != 1:
                raise ValueError("network.frozen leaves encoder_rate without effect; set one of the two")
        return self


class CriticConfig(Settings):
    """The critic, also called discriminator elsewhere."""

    network: PatchCriticConfig = PatchCriticConfig()
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""
    learning_rate_ratio: float | None = Field(default=None, gt=0, le=100)
    """Its learning rate as a multiple of the generator's (Heusel et al. 2017; DeOldify: 5), in place of adam.learning_rate."""
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """What it should say of real photographs; below 1 is one-sided label smoothing (Salimans et al. 2016: 0.9)."""


class VariantConfig(Settings):
    """What every variant has."""

    name: str
    """The variant."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator."""
    reconstruction: ReconstructionConfig = L1Config()
    """Loss between the colourised and the true ab; `reconstruction=l2` is short for `reconstruction.loss=l2`."""
    pretraining: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget in which the generator learns by reconstruction alone, before the critic joins."""
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of the training images whose label is withheld, so that the generator colourises without one too."""
    accumulation: int = Field(default=1, ge=1, le=256)
    """Parts that a batch is computed in, to save memory; batch statistics are then those of a part."""
    test_time: TestTime = "calibrated"
    """How a generator runs when it is looked at and used: with batch statistics computed anew over training images, with the
    running ones, with these and dropout as noise, with the batch's own, or with the batch's own and dropout (pix2pix)."""

    @property
    def acts_on_validation(self) -> bool:
        """Whether what is learnt depends on what validations find."""
        return False

    @field_validator("reconstruction", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"loss": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _noise_needs_dropout(self) -> "VariantConfig":
        if self.test_time in ("noise", "dropout") and self.generator.network.dropout == 0:
            raise ValueError(f"test_time={self.test_time} needs generator.network.dropout above 0: dropout is the noise")
        return self


class GameConfig(Settings):
    """What is different while both players learn; a field that is null keeps what each player has.

    With any of them set, both players begin every adversarial phase with a fresh Adam, as DeOldify's learners do.
    """

    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """The generator's, and the critic's times critic.learning_rate_ratio. DeOldify: 1e-5 to 2e-5."""
    beta1: float | None = Field(default=None, ge=0, lt=1)
    """Decay of the first moment. DeOldify: 0."""
    beta2: float | None = Field(default=None, ge=0, lt=1)
    """Decay of the second moment. DeOldify: 0.9."""
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    """Decoupled weight decay. DeOldify: 1e-3."""
    encoder_rate: float | None = Field(default=None, ge=0, le=1)
    """The encoder's learning rate as a share of the generator's; 0 freezes its weights (DeOldify), not its batch statistics."""

    @property
    def is_different(self) -> bool:
        """Whether anything is."""
        return any(value is not None for value in as_json(self).values())

    def adam(self, own: AdamConfig, ratio: float = 1.0) -> AdamConfig:
        """A player's Adam in the game; `ratio` is that of its learning rate to the generator's."""
        given = {name: value for name, value in as_json(self).items() if value is not None and name != "encoder_rate"}
        if "learning_rate" in given:
            given["learning_rate"] *= ratio
        return own.model_copy(update=given)


class AdversarialConfig(VariantConfig):
    """What every variant with a critic has."""

    critic: CriticConfig = CriticConfig()
    """The critic."""
    reconstruction_weight: float = Field(default=100.0, ge=0)
    """λ, the weight of the reconstruction beside the adversarial loss. pix2pix: 100."""
    critic_pretraining: float = Field(default=0.0, ge=0, lt=1)
    """Share of the budget in which the critic learns alone from stored fakes of the pretrained generator (NoGAN)."""
    stored_fakes: int = Field(default=512, ge=1, le=100_000)
    """Fakes that the generator makes for critic pretraining, once a round."""
    rounds: int = Field(default=1, ge=1, le=100)
    """How often critic pretraining and adversarial training alternate (NoGAN)."""
    game: GameConfig = GameConfig()
    """What is different while both players learn (NoGAN)."""
    waiting: Literal["training", "evaluation"] = "training"
    """Mode of the player that waits while the other learns, and of the generator whose fakes are stored: its batch statistics and
    dropout are those of training (pix2pix), or of evaluation (DeOldify)."""
    inflection: InflectionConfig = InflectionConfig()
    """Ends adversarial training where artefacts begin."""

    @property
    def acts_on_validation(self) -> bool:
        """The inflection does."""
        return self.inflection.metric != "off"

    @model_validator(mode="after")
    def _sensible_schedule(self) -> "AdversarialConfig":
        if self.critic_pretraining and self.pretraining + self.critic_pretraining >= 1:
            raise ValueError("pretraining and critic_pretraining use the whole budget and leave nothing for the game of both")
        if self.rounds > 1 and not self.critic_pretraining:
            raise ValueError("rounds alternate critic pretraining with adversarial training; set critic_pretraining above 0")
        if self.game.encoder_rate is not None and not isinstance(self.generator.network, BackboneUNetConfig):
            raise ValueError("game.encoder_rate needs a generator with an encoder; set generator.network.kind=backbone")
        if self.critic.network.projection and not self.generator.labels:
            raise ValueError("critic.network.projection judges by labels that the generator never sees; set generator.labels=true")
        return self


def refuse_mixed_images(critic: CriticConfig) -> None:
    """A gradient penalty holds for each image by itself.

    Raises:
        ValueError: the critic mixes the images of a batch.
    """
    if critic.network.norm == "batch":
        raise ValueError(
            "critic.network.norm is batch, which mixes the images that the gradient penalty must keep apart; "
            "use layer, instance or none"
        )

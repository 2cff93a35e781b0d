"""The settings of one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, model_validator

from common.config import Settings, as_json, sha256
from common.data.batches import BatchConfig
from common.errors import ColourbenchError
from common.loop.callbacks import WatchConfig
from common.loop.engine import EngineConfig, ranks
from common.loop.training import Budget
from common.networks.encoders import WEIGHTS_FIELD, weights_file
from common.system.integrity import file_sha256
from variants.contract.variant import VariantConfig
from variants.registry import CLASSES, variant_class
from variants.schedule.phases import ScheduleConfig

if TYPE_CHECKING:
    AnyVariantConfig = VariantConfig
else:
    _CONFIGS = tuple(variant_class(name).Config for name in CLASSES)
    AnyVariantConfig = Annotated[Union[_CONFIGS], Field(discriminator="name")]  # noqa: UP007


class RunConfig(Settings):
    """One training run."""

    variant: AnyVariantConfig
    """The training method and its hyper-parameters."""
    dataset: str
    """Name of a prepared data set."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the initial weights and of every random draw."""
    start_from: str = ""
    """Model file (safetensors) whose weights the networks start from, the critic's too if it has them; empty: random weights."""
    schedule: ScheduleConfig = ScheduleConfig()
    """When which network trains."""
    budget: Budget = Budget()
    """How long to train."""
    batches: BatchConfig = BatchConfig()
    """How images are drawn."""
    engine: EngineConfig = EngineConfig()
    """Device and precision."""
    watch: WatchConfig = WatchConfig()
    """How often to validate, to log and to save checkpoints."""

    @model_validator(mode="after")
    def _fit_together(self) -> "RunConfig":
        self.schedule.check(self.variant)
        share = self.batches.size // ranks()
        if share % self.variant.accumulation:
            of_device = f"the {share} images of a device in " if ranks() > 1 else ""
            raise ValueError(
                f"variant.accumulation={self.variant.accumulation} does not divide {of_device}batches.size={self.batches.size}"
            )
        if self.budget.unit == "seconds" and ranks() > 1:
            raise ValueError(
                "budget.unit=seconds would end each device at another step; use images or updates"
            )
        if self.budget.unit == "updates" and self.schedule.critic_pretraining:
            raise ValueError(
                "budget.unit counts generator updates, and schedule.critic_pretraining makes none; use images or seconds"
            )
        return self

    def by_content(self) -> dict[str, Any]:
        """The settings as plain data, in which files of weights stand as hashes of their content.

        Raises:
            ColourbenchError: there is no such file.
        """
        settings = as_json(self)
        if self.start_from and not Path(self.start_from).is_file():
            raise ColourbenchError(f"start_from: there is no file {self.start_from}")
        if self.start_from:
            settings["start_from"] = file_sha256(Path(self.start_from))
        _hash_weights(settings["variant"])
        return settings

    def identity(self, dataset_sha256: str) -> str:
        """Returns a hash of all that affects training: runs with the same identity have the same result on the same machine.

        The validation settings belong to it only if the schedule acts on validation results.
        """
        settings = self.by_content()
        watch = settings.pop("watch")
        del settings["dataset"]
        validations = {name: watch[name] for name in ("validations", "validation_images")}
        return sha256(
            [settings, dataset_sha256, validations if self.schedule.acts_on_validation else {}]
        )


def _hash_weights(settings: dict[str, Any]) -> None:
    """Replaces each file of encoder weights, at any depth, by a hash of its content."""
    for name, value in settings.items():
        if isinstance(value, dict):
            _hash_weights(value)
        elif name == WEIGHTS_FIELD and value:
            settings[name] = file_sha256(weights_file(value))

"""The settings of one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, model_validator

from common.config import Settings, as_json, sha256
from common.data.batches import BatchConfig
from common.errors import ColourbenchError
from common.files.integrity import file_sha256
from common.loop.callbacks import WatchConfig
from common.loop.engine import EngineConfig, ranks
from common.loop.training import Budget
from variants.contract.variant import VariantConfig
from variants.registry import CLASSES, variant_class

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
        if self.batches.size % self.variant.accumulation:
            raise ValueError(f"variant.accumulation={self.variant.accumulation} does not divide batches.size={self.batches.size}")
        if self.budget.unit == "seconds" and ranks() > 1:
            raise ValueError("budget.unit=seconds would end each device at another step; use images or updates")
        if self.budget.unit == "updates" and getattr(self.variant, "critic_pretraining", None):
            raise ValueError(
                "budget.unit counts generator updates, and variant.critic_pretraining makes none; use images or seconds"
            )
        return self

    def _leave_out_new_fields(self, settings: dict[str, Any]) -> None:
        """Removes fields that earlier versions lacked where they change nothing; a file of weights counts by its content."""
        if not self.batches.film.is_on:
            del settings["batches"]["film"]
        if not self.variant.generator.hints:
            del settings["variant"]["generator"]["hints"]
        start = settings.pop("start_from")
        if start:
            path = Path(start)
            if not path.is_file():
                raise ColourbenchError(f"start_from: there is no file {path}")
            settings["start_from"] = file_sha256(path)

    def identity(self, dataset_sha256: str) -> str:
        """Returns a hash of all that affects training: runs with the same identity have the same result on the same machine.

        The validation settings belong to it only if the schedule acts on validation results.
        """
        settings = as_json(self)
        watch = settings.pop("watch")
        if settings["engine"].pop("fast") is False:  # only then does it change the rounding
            settings["engine"]["fast"] = False
        if settings["variant"]["name"] != "cgan" and settings["variant"].get("critic_threshold") is None:
            for name in ("critic_threshold", "most_critic_updates"):  # which only cGAN had at first: no other run without them
                settings["variant"].pop(name, None)
        self._leave_out_new_fields(settings)
        del settings["dataset"]
        looks = {name: watch[name] for name in ("validations", "validation_images")} if self.variant.acts_on_validation else {}
        return sha256([settings, dataset_sha256, *([looks] if looks else [])])

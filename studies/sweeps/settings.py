"""The options of a sweep: its size, its objectives, how it searches, and its limits. Quick to import, for the command line."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from common.colour.metrics import DECIDING, METRICS
from common.config import Settings

COSTS = ("seconds", "peak_memory_gb")  # known when a run ends, not at its validations
OBJECTIVES: dict[str, Literal["minimize", "maximize"]] = {
    **{name: "maximize" if METRICS[name].direction > 0 else "minimize" for name in DECIDING},
    **dict.fromkeys(COSTS, "minimize"),
}


class SweepOptions(Settings):
    """The options of `colourbench sweep`, one field for each."""

    trials: int = Field(default=20, ge=1)
    """Number of trials that the sweep should finish, pruned ones included."""
    objectives: tuple[str, ...] = Field(
        default=("delta_e",),
        min_length=1,
        description=f"Validation metrics or costs to optimise: {', '.join(OBJECTIVES)}.",
    )
    sampler: Literal["tpe", "gp", "random", "grid", "cmaes"] = "tpe"
    """Optuna sampler that proposes the settings of a trial."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """Optuna pruner that stops hopeless trials (hyperband: by images seen); sweeps with several objectives are never pruned."""
    by: Literal["metric", "people"] = "metric"
    """What decides between trials; `people` judge pairs of their photographs on a page, in rounds, and no trial is pruned."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Trials that train for more seconds than this cannot win."""
    max_memory_gb: float | None = Field(default=None, gt=0)
    """Trials whose peak memory is higher than this, in GB, cannot win."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Number of seeds, the first included, that the best trials are trained with before the winner is chosen."""
    finalists: int = Field(default=3, ge=1, le=20)
    """Number of best trials that are repeated with further seeds."""
    continues: str = ""
    """Another sweep of the same store whose ended trials this one takes over when it begins, where they lie in its own space."""
    storage: str = ""
    """URL of the Optuna store; by default an SQLite file in the home folder. For several hosts: postgresql+psycopg://…"""

    @property
    def prunes(self) -> bool:
        """Whether trials can end early."""
        return (
            self.by == "metric"
            and self.pruner != "none"
            and len(self.objectives) == 1
            and self.objectives[0] not in COSTS
        )

    @field_validator("objectives")
    @classmethod
    def _known(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if name not in OBJECTIVES:
                raise ValueError(
                    f"there is no objective {name!r}; the objectives are {', '.join(OBJECTIVES)}"
                )
        if len(set(objectives)) < len(objectives):
            raise ValueError("an objective stands twice")
        return objectives

    @model_validator(mode="after")
    def _sensible(self) -> "SweepOptions":
        if self.repeats > 1 and len(self.objectives) > 1:
            raise ValueError(
                "repeats choose one winner, and several objectives have a whole front; repeat some of it in a study"
            )
        if self.repeats > 1 and self.by == "people":
            raise ValueError(
                "people judge one seed of each trial; compare the best settings over seeds in a study"
            )
        if self.sampler == "cmaes" and len(self.objectives) > 1:
            raise ValueError("sampler=cmaes takes one objective; use tpe, gp, random or grid")
        return self

"""What a sweep may be told: its size, its objectives, how it searches, and its limits. Light to import, for the command line."""

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
    """Options of `colourbench sweep`, each a field."""

    trials: int = Field(default=20, ge=1)
    """Finished trials that the sweep should have, pruned ones included."""
    objectives: tuple[str, ...] = Field(
        default=("delta_e",), min_length=1, description=f"{', '.join(OBJECTIVES)}; several give a front."
    )
    """Validation metrics or costs."""
    sampler: Literal["tpe", "gp", "random", "grid", "cmaes"] = "tpe"
    """How settings are proposed."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """How hopeless trials are stopped (hyperband: by images seen); several objectives are never pruned."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Trials that train longer cannot win."""
    max_memory_gb: float | None = Field(default=None, gt=0)
    """Trials that take more memory cannot win."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Seeds that the best trials are trained with before the winner is named."""
    finalists: int = Field(default=3, ge=1, le=20)
    """How many of the best trials are repeated."""
    storage: str = ""
    """Optuna store; by default an SQLite file in the home folder. Several hosts: postgresql+psycopg://…"""

    @property
    def prunes(self) -> bool:
        """Whether trials can end early."""
        return self.pruner != "none" and len(self.objectives) == 1 and self.objectives[0] not in COSTS

    @field_validator("objectives")
    @classmethod
    def _known(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"there is no objective {name!r}; the objectives are {', '.join(OBJECTIVES)}")
        if len(set(objectives)) < len(objectives):
            raise ValueError("an objective stands twice")
        return objectives

    @model_validator(mode="after")
    def _sensible(self) -> "SweepOptions":
        if self.repeats > 1 and len(self.objectives) > 1:
            raise ValueError("repeats choose one winner, and several objectives have a whole front; repeat some of it in a study")
        if self.sampler == "cmaes" and len(self.objectives) > 1:
            raise ValueError("sampler=cmaes takes one objective; use tpe, gp, random or grid")
        return self

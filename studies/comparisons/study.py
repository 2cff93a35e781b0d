"""The definition of a comparison: a data set, arms, seeds and one budget, from a YAML file."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from common.colour.metrics import METRICS
from common.config import Settings, as_json, parse, read_yaml_file, sha256
from common.loop.training import Budget
from common.tracking.names import WITHOUT
from studies.home import NAME

ARM = r"^[A-Za-z0-9][A-Za-z0-9 ._+=-]{0,59}$"
# already names of columns and answers
RESERVED = (
    "grey",
    "mean",
    "truth",
    "input",
    "random colours",
)
Baseline = Literal["grey", "mean"]


class Study(Settings):
    """A comparison of arms under equal conditions."""

    name: str = Field(pattern=NAME)
    """Name of the study, of its MLflow experiment and of its report's folder."""
    question: str = ""
    """What the study asks, in a sentence or two."""
    source: str = ""
    """Where the question comes from."""
    settled_by: str = ""
    """The outcome that would settle the question."""
    dataset: str = Field(default="", pattern=f"^$|{NAME}")
    """Name of a prepared data set."""
    datasets: tuple[str, ...] = ()
    """Names of several prepared data sets, instead of `dataset`: the study runs on each, and its arms are ranked over all."""
    primary: str = "delta_e"
    """The metric that decides, fixed before the first run; all other metrics are secondary."""
    margin: float = Field(default=0.5, gt=0)
    """The smallest difference in the primary metric that matters: arms that differ by less are equivalent."""
    budget: Budget = Budget()
    """The training budget of every run, in the same unit for all."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Every arm is trained once with each of these seeds, unless it names `seeds` of its own."""
    baselines: tuple[Baseline, ...] = ("grey", "mean")
    """Colourisers that learn nothing: `grey` predicts ab = 0, `mean` the training split's mean ab."""
    defaults: dict[str, Any] = Field(default={})
    """Fields of a run that all arms share."""
    arms: dict[str, dict[str, Any]] = Field(min_length=1)
    """For each arm, the fields of a run that set it apart. `best_of: SWEEP` starts from a sweep's best settings, `like: ARM` from
    those of another arm; `seeds: [...]` gives the arm its own seeds. `images: DIR`, alone, names a folder with another program's
    results for the test images; `{dataset}` in it becomes the data set's name."""

    @field_validator("arms")
    @classmethod
    def _named_well(cls, arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in arms:
            if not re.match(ARM, name) or name in RESERVED or name.endswith(WITHOUT):
                raise ValueError(
                    f"{name!r} cannot be an arm's name: use letters, digits, spaces and ._+=-, not {', '.join(RESERVED)}, "
                    f"and no {WITHOUT!r} at its end"
                )
        return arms

    @field_validator("primary")
    @classmethod
    def _has_a_direction(cls, primary: str) -> str:
        known = [name for name, metric in METRICS.items() if metric.direction]
        if primary not in known:
            raise ValueError(f"primary decides, so it must be one of {', '.join(known)}")
        return primary

    @field_validator("datasets")
    @classmethod
    def _are_names(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in datasets if not re.match(NAME, name)]:
            raise ValueError(f"{wrong[0]!r} cannot be a data set's name")
        if len(set(datasets)) < len(datasets):
            raise ValueError("a data set stands twice")
        return datasets

    @model_validator(mode="after")
    def _has_data(self) -> "Study":
        if bool(self.dataset) == bool(self.datasets):
            raise ValueError("name the data: either dataset or datasets, and not both")
        return self

    @model_validator(mode="after")
    def _arms_fit(self) -> "Study":
        if len(self.outside) == len(self.arms):
            raise ValueError(
                "every arm is a folder of images; a study trains at least one of its own"
            )
        for name, fields in self.arms.items():
            self._check_arm(name, fields)
        self._check_seeds_differ()
        return self

    def _check_arm(self, name: str, fields: dict[str, Any]) -> None:
        is_folder = set(fields) == {"images"} and isinstance(fields["images"], str)
        if name in self.outside and not is_folder:
            raise ValueError(
                f"arm {name}: images names a folder, and stands alone: what another program made has no settings here"
            )
        seeds = fields.get("seeds")
        if seeds is not None and not _are_seeds(seeds):
            raise ValueError(f"arm {name}: seeds must be a list of different whole numbers")
        like = fields.get("like")
        if like is None:
            return
        other = self.arms.get(like) if isinstance(like, str) else None
        if other is None or like == name or "like" in other:
            raise ValueError(
                f"arm {name}: like={like!r} must name another arm that is not like a third one"
            )

    def _check_seeds_differ(self) -> None:
        """An arm that is like another one, and has a seed of it, would be the same run."""
        taken: dict[tuple[str, int], str] = {}
        for name, fields in self.trained.items():
            for seed in self.seeds_of(name):
                other = taken.setdefault((fields.get("like", name), seed), name)
                if other != name:
                    raise ValueError(
                        f"arm {name}: shares seed {seed} with {other}, which would make the same run; give it others"
                    )

    @property
    def outside(self) -> dict[str, Path]:
        """The arms whose images another program coloured, with their folders."""
        return {
            name: Path(str(fields["images"]))
            for name, fields in self.arms.items()
            if "images" in fields
        }

    @property
    def trained(self) -> dict[str, dict[str, Any]]:
        """The arms that this suite trains, with their fields."""
        return {name: fields for name, fields in self.arms.items() if "images" not in fields}

    @property
    def parts(self) -> list["Study"]:
        """One study for each data set; a study with a single data set is its own only part."""
        if self.dataset:
            return [self]
        return [self._on(name) for name in self.datasets]

    def _on(self, dataset: str) -> "Study":
        """Returns the study on one data set; `{dataset}` in a folder of images becomes its name."""
        arms = {
            name: fields | {"images": str(fields["images"]).replace("{dataset}", dataset)}
            if "images" in fields
            else fields
            for name, fields in self.arms.items()
        }
        return self.model_copy(
            update={
                "name": f"{self.name}-{dataset}",
                "dataset": dataset,
                "datasets": (),
                "arms": arms,
            }
        )

    @property
    def declaration(self) -> dict[str, Any]:
        """What is fixed before the first run, besides the data set."""
        return {
            "budget": self.budget.amount,
            "unit": self.budget.unit,
            "primary": self.primary,
            "margin": self.margin,
        }

    @property
    def identity(self) -> str:
        """A hash that does not depend on seeds or arms, so that a study can grow."""
        return sha256([self.name, self.dataset, as_json(self.budget), self.primary, self.margin])

    def with_more_seeds(self, count: int) -> "Study":
        """Returns the study with `count` more seeds for every arm, above all used ones; arms with own seeds get separate ones."""
        owners = [name for name, fields in self.trained.items() if "seeds" in fields]
        step = 1 + len(owners)
        top = 1 + max(seed for arm in self.trained for seed in self.seeds_of(arm))
        rounds = range(top, top + count * step, step)
        arms = {
            name: {
                **fields,
                "seeds": [*fields["seeds"], *(first + 1 + owners.index(name) for first in rounds)],
            }
            if name in owners
            else fields
            for name, fields in self.arms.items()
        }
        return self.model_copy(update={"seeds": (*self.seeds, *rounds), "arms": arms})

    def seeds_of(self, arm: str) -> tuple[int, ...]:
        """The seeds that an arm is trained with."""
        return tuple(self.arms[arm].get("seeds") or self.seeds)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds


def _are_seeds(seeds: Any) -> bool:
    whole = isinstance(seeds, list) and all(
        isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds
    )
    return whole and 0 < len(seeds) == len(set(seeds))


def read(path: Path) -> Study:
    """Reads a study from its YAML file.

    Raises:
        ColourbenchError: the file is invalid; the message has one line for each mistake.
    """
    return parse(Study, read_yaml_file(path), str(path))

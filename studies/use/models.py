"""A trained model by any of its names: a run's id, STUDY/RUN NAME, STUDY/ARM, `champion`, or a model file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.config import as_json
from common.errors import ColourbenchError, did_you_mean
from common.system.names import GENERATOR, STARTER
from common.tracking import Run
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.runs.model import (
    RETRAIN,
    SUFFIX,
    ModelFile,
    labels_of,
    load_file,
    load_run,
    read_config,
    read_model,
)
from variants.players.colouriser import Colouriser

# what a model's file may say of it, so that a file written from it says the same
TOLD = ("title", "licence", "data", "data_licence")
STARTER_FILE = Path(__file__).parent / "starter" / "starter.safetensors"
# a daguerreotype, in the public domain by age
OLD_PHOTOGRAPH = STARTER_FILE.with_name("geography-lesson-1850.jpg")


@dataclass(frozen=True)
class Model:
    """A generator, ready to colourise, and where it comes from: a run or a file."""

    name: str
    colouriser: Colouriser
    config: RunConfig
    labels: list[str]
    run: Run | None = None
    file: Path | None = None
    # what its file says of it beside its settings: title, licence, data, data_licence
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file of its weights.

        Raises:
            LookupError: it has none.
        """
        if self.file:
            return self.file
        if self.run is None:
            raise LookupError(f"{self.name} is in no file")
        return self.run.folder / GENERATOR

    def label_number(self, label: str) -> int:
        """The number of a label of the data set that the model was trained on.

        Raises:
            ColourbenchError: the model was trained without labels, or there is no such label.
        """
        if not self.config.variant.generator.labels:
            raise ColourbenchError(
                f"{self.name} was trained without labels; train one with variant.generator.labels=true"
            )
        if label not in self.labels:
            known = ", ".join(self.labels)
            raise ColourbenchError(
                f"there is no label {label!r}{did_you_mean(label, self.labels)}; {self.name} knows {known}"
            )
        return self.labels.index(label)


def is_file(reference: str) -> bool:
    """Whether a reference is a model file's path rather than a run's name."""
    return reference.endswith(SUFFIX)


def _path(reference: str) -> Path | None:
    """The file that a reference names: a path, or the model that comes with the suite; None for a run."""
    if reference == STARTER:
        return STARTER_FILE
    return Path(reference) if is_file(reference) else None


def open_model(home: Home, reference: str, device: str = "auto") -> Model:
    """Opens a model.

    Raises:
        ColourbenchError: there is no such model, it is not trained to the end, or it is damaged.
    """
    if path := _path(reference):
        colouriser, config, labels = load_file(path, device)
        header = read_model(path, "write it again with `colourbench export`").about
        about = {name: header[name] for name in TOLD if name in header}
        name = about.get("title", path.stem)
        return Model(name, colouriser, config, labels, file=path, about=about)
    run = home.store.run(reference)
    colouriser, config = load_run(run, device)
    return Model(run.name, colouriser, config, labels_of(run), run)


def file_of(home: Home, reference: str) -> ModelFile:
    """The model file behind a reference.

    Raises:
        ColourbenchError: there is no such model, or it is damaged.
    """
    if path := _path(reference):
        return read_model(path, "write it again with `colourbench export`")
    run = home.store.run(reference)
    file = read_model(run.folder / GENERATOR, RETRAIN)
    # earlier files lack it
    return replace(file, about=file.about | {"config": json.dumps(as_json(read_config(run)))})

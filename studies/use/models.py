"""A trained model by any of its names: a run's id, STUDY/RUN NAME, STUDY/ARM, `champion`, or a model file."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from common.config import as_json
from common.errors import ColourbenchError, did_you_mean
from common.files.names import GENERATOR
from common.tracking import Run
from studies.home import Home
from studies.runs import model_file
from studies.runs.configuration import RunConfig
from studies.runs.trained import RETRAIN, labels_of, load_file, load_run, read_config
from variants.players.colouriser import Colouriser


@dataclass(frozen=True)
class Model:
    """A generator, ready to colourise, and where it comes from: a run or a file."""

    name: str
    colouriser: Colouriser
    config: RunConfig
    labels: list[str]
    run: Run | None = None
    file: Path | None = None

    def label_number(self, label: str) -> int:
        """The number of a label of the data set that the model was trained on.

        Raises:
            ColourbenchError: the model was trained without labels, or there is no such label.
        """
        if not self.config.variant.generator.labels:
            raise ColourbenchError(f"{self.name} was trained without labels; train one with variant.generator.labels=true")
        if label not in self.labels:
            known = ", ".join(self.labels)
            raise ColourbenchError(f"there is no label {label!r}{did_you_mean(label, self.labels)}; {self.name} knows {known}")
        return self.labels.index(label)


def is_file(reference: str) -> bool:
    """Whether a reference is a model file's path rather than a run's name."""
    return reference.endswith(model_file.SUFFIX)


def open_model(home: Home, reference: str, device: str = "auto") -> Model:
    """Opens a model.

    Raises:
        ColourbenchError: there is no such model, it is not trained to the end, or it is damaged.
    """
    if is_file(reference):
        colouriser, config, labels = load_file(Path(reference), device)
        return Model(Path(reference).stem, colouriser, config, labels, file=Path(reference))
    run = home.store.run(reference)
    colouriser, config = load_run(run, device)
    return Model(run.name, colouriser, config, labels_of(run), run)


def file_of(home: Home, reference: str) -> model_file.ModelFile:
    """The model file behind a reference.

    Raises:
        ColourbenchError: there is no such model, or it is damaged.
    """
    if is_file(reference):
        return model_file.read(Path(reference), "write it again with `colourbench export`")
    run = home.store.run(reference)
    file = model_file.read(run.folder / GENERATOR, RETRAIN)
    return replace(file, about=file.about | {"config": json.dumps(as_json(read_config(run)))})  # earlier files lack it

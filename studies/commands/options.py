"""What several verbs share: the home folder, --set and --config, and printing.

Verbs import heavy packages inside their functions, so that --help is fast.
"""

import inspect
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.errors import ColourbenchError
from common.system.names import STARTER
from common.tracking.names import CHAMPION
from variants.registry import CLASSES

if TYPE_CHECKING:
    from studies.home import Home
    from studies.runs.configuration import RunConfig

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home", envvar="COLOURBENCH_HOME", help="Folder that holds everything colourbench writes."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="a.b=v",
        help="Change a field, as often as needed; `colourbench config VARIANT` lists them.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with fields of a run; --set wins over it."),
]
DataOption = Annotated[str | None, typer.Option("--data", help="A prepared data set.")]
StudyDataOption = Annotated[
    str | None, typer.Option("--data", help="Use this data set instead of the file's.")
]
StudyArgument = Annotated[Path, typer.Argument(help="A study's YAML file.")]
ImagesOption = Annotated[
    int | None,
    typer.Option(
        "--images",
        help="Short for --set budget.amount=N --set budget.unit=images; 100,000 by default.",
    ),
]
StorageOption = Annotated[
    str,
    typer.Option("--storage", help="Optuna store; by default an SQLite file in the home folder."),
]
RetrainOption = Annotated[
    bool,
    typer.Option("--retrain", help="Train finished runs again whose files are gone or damaged."),
]
VariantArgument = Annotated[str, typer.Argument(help=f"{', '.join(CLASSES)}.")]
RunArgument = Annotated[
    str,
    typer.Argument(
        help="A run's id, the start of it, STUDY/RUN NAME, STUDY/ARM (its best seed), a model file (.safetensors), or `champion`: "
        "the best model of the registry (champion/DATASET)."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DEVICES = ("auto", "cpu", "cuda")
DEFAULT_HOME = Path("runs")
Verb = TypeVar("Verb", bound=Callable[..., None])


def say(text: str) -> None:
    """Prints a line; with several ranks, only the first one prints."""
    if os.environ.get("RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" not in os.environ:
        print(text, flush=True)


def one_process(verb: str) -> None:
    """Rejects torchrun for a verb that starts many runs: torchrun lets several devices train one run."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise ColourbenchError(
            f"torchrun is for one training, `colourbench train`; `{verb}` runs many: start it several times, or with --workers"
        )


@cache
def open_home(path: Path) -> "Home":
    """Opens a home folder, once for each path."""
    from studies.home import Home

    return Home(path)


def run_settings(
    variant: str,
    data: str | None,
    seed: int | None,
    images: int | None,
    changes: list[str] | None,
    file: Path | None,
    home: Path | None = None,
    base: Mapping[str, Any] | None = None,
) -> "RunConfig":
    """Returns a run's settings from `base`, a file, short options and --set, in rising order of precedence.

    Args:
        home: the folder in which the data set must be prepared; None skips this check.
    """
    from common.config import merge, override, parse, read_yaml_file
    from variants.registry import check_name

    check_name(variant)
    given: dict[str, Any] = merge(
        merge(base or {}, read_yaml_file(file) if file else {}), {"variant": {"name": variant}}
    )
    short = {
        "dataset": data,
        "seed": seed,
        "budget": {"amount": images, "unit": "images"} if images is not None else None,
    }
    fields = override(
        merge(given, {key: value for key, value in short.items() if value is not None}),
        changes or [],
    )
    if "dataset" not in fields:
        raise ColourbenchError(
            "no data set is named; add --data DATASET (`colourbench data list` shows those that are prepared)"
        )
    if home:
        open_home(home).check_dataset(str(fields["dataset"]))
    # after the checks that do not need it: torch takes seconds to import
    from studies.runs.configuration import (
        RunConfig,
    )

    return parse(RunConfig, fields, str(file) if file and not changes else "settings")


def check_study(home: Path, study: str) -> None:
    """Checks that a study has runs, before MLflow is imported; where a quick look-up cannot tell, the caller finds out.

    Raises:
        ColourbenchError: the study has no runs.
    """
    from common.tracking.lookup import studies_in

    known = studies_in(home)
    if known is not None and study not in known:
        raise ColourbenchError(
            f"there is no study {study!r} in {home} (known: {', '.join(sorted(known)) or 'none yet'})"
        )


def check_run(home: Path, reference: str) -> None:
    """Checks that a reference names a run, before MLflow is imported.

    Raises:
        ColourbenchError: there is no such run.
    """
    from common.tracking.lookup import run_exists

    if reference == STARTER:
        return
    if reference.endswith(".safetensors"):
        check_exists(Path(reference))
        return
    if not is_champion(reference) and run_exists(home, reference) is False:
        raise ColourbenchError(
            f"there is no run {reference!r} in {home}; `colourbench runs` lists them"
        )


def check_device(device: str) -> None:
    """Checks the device's name.

    Raises:
        ColourbenchError: it is unknown.
    """
    if device not in DEVICES:
        raise ColourbenchError(f"--device {device}: choose {', '.join(DEVICES)}")


def is_champion(reference: str) -> bool:
    """Whether a reference names a model of the registry: `champion`, or `champion/DATASET` where there are several."""
    return reference.partition("/")[0] == CHAMPION


def check_exists(*places: Path | None) -> None:
    """Checks that the given files and folders exist.

    Raises:
        ColourbenchError: one does not exist.
    """
    for path in places:
        if path is not None and not path.exists():
            raise ColourbenchError(f"there is no file or folder {path}")


def valid_name(name: str) -> str:
    """Returns the name, if it is valid for a folder and an MLflow experiment.

    Raises:
        ColourbenchError: the name is not valid.
    """
    from studies.home import NAME

    if not re.match(NAME, name):
        raise ColourbenchError(
            f"{name!r} cannot be a name: use letters, digits, '.', '_' and '-'; choose one with --name"
        )
    return name


def with_options_of(model: type[BaseModel], **flags: str) -> Callable[[Verb], Verb]:
    """Adds an option to a verb for each field of a settings model; the verb gets them as keywords, None if not given.

    Args:
        flags: for a field whose option has another name, that name.
    """

    def add(verb: Verb) -> Verb:
        own = [
            p for p in inspect.signature(verb).parameters.values() if p.kind is not p.VAR_KEYWORD
        ]
        made = [
            _option(name, field, flags.get(name, f"--{name.replace('_', '-')}"))
            for name, field in model.model_fields.items()
        ]
        verb.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
        verb.__annotations__ |= {parameter.name: parameter.annotation for parameter in made}
        return verb

    return add


def _option(name: str, field: FieldInfo, flag: str) -> inspect.Parameter:
    kinds: dict[Any, Any] = {
        bool: bool | None,
        int: int | None,
        int | None: int | None,
        float: float | None,
        float | None: float | None,
        tuple[str, ...]: list[str] | None,
    }
    choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
    default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
    text = " ".join(
        [str(field.description), *([f"One of {', '.join(choices)}."] if choices else [])]
    )
    shown = "" if default in (None, "") or default is False else f" [default: {default}]"
    annotation: Any = Annotated[
        kinds.get(field.annotation, str | None),
        typer.Option(flag, help=text + shown, show_default=False),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )

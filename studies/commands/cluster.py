"""The verb `submit`: submits a sweep or a comparison as a job array."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError
from common.system.names import DEBUG
from studies.commands.compare import check_comparison
from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say, valid_name
from studies.commands.sweep import check_sweep

if TYPE_CHECKING:
    from studies.home import Home

PASSED_ON = ("MLFLOW_TRACKING_URI", DEBUG)
"""Environment variables that a job inherits."""


SchedulerOption = Annotated[str, typer.Option(help="slurm or lsf.")]
TasksOption = Annotated[int, typer.Option(min=1, max=10_000, help="Elements of the array.")]
ProfileOption = Annotated[
    Path | None,
    typer.Option(help="YAML file of the site: queue, GPUs, memory, time … (hpc/README.md)."),
]
JobOption = Annotated[
    str, typer.Option(help="Name of the job; by default that of the verb and what it works on.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Write the script and print it; submit nothing.")
]


def submit(
    context: typer.Context,
    scheduler: SchedulerOption,
    tasks: TasksOption = 4,
    profile: ProfileOption = None,
    job: JobOption = "",
    dry_run: DryRunOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Submits a `sweep …` or `compare …` command, written as usual, as a job array of stateless workers.

    Example: colourbench submit --scheduler slurm --tasks 16 --dry-run sweep cgan --data pets-64 --trials 200 --storage postgresql+psycopg://…
    """
    from common.config import parse, read_yaml_file
    from hpc.profile import Profile
    from hpc.submit import SUBMITTERS, Array, check_stores
    from hpc.submit import submit as submit_array

    if scheduler not in SUBMITTERS:
        raise ColourbenchError(f"--scheduler {scheduler}: choose {' or '.join(SUBMITTERS)}")
    parameters = _checked(context, context.args, home)
    site = parse(Profile, read_yaml_file(profile), str(profile)) if profile else Profile()
    opened_home = open_home(home)
    command = [*context.args, "--home", str(opened_home.path)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    name = valid_name(job or "-".join(Path(word).stem for word in context.args[:2]))
    array = Array(name, tasks, command, opened_home.path, environment)
    check_stores(_stores(context.args[0], parameters, opened_home), array, site)
    path, answer = submit_array(array, site, scheduler, dry_run)  # type: ignore[arg-type]
    say(path.read_text() if dry_run else answer)
    say(f"the script: {path}; logs: {opened_home.path / 'logs'}")


def _stores(verb: str, parameters: dict[str, Any], home: "Home") -> dict[str, str]:
    urls = {"MLflow's store": home.store.uri}
    if verb == "sweep":
        urls["the sweep's store"] = parameters.get("storage") or home.optuna_url
    return urls


def _checked(context: typer.Context, words: list[str], home: Path) -> dict[str, Any]:
    """Parses the command's options and settings as its verb would, so that mistakes are reported now and not on the cluster."""
    verbs = ("sweep", "compare")
    if not words or words[0] not in verbs:
        raise ColourbenchError(
            f"submit needs a command: {' or '.join(verbs)}, written as always, for instance sweep cgan --data pets-64"
        )
    group: Any = context.find_root().command
    verb = group.commands[words[0]]
    inner = verb.make_context(f"submit {words[0]}", list(words[1:]), resilient_parsing=False)
    parameters: dict[str, Any] = inner.params
    check = check_sweep if words[0] == "sweep" else check_comparison
    check(parameters, home)
    return parameters

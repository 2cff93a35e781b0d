"""The verb `submit`: submits a sweep or a comparison as a job array."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say, valid_name
from studies.commands.sweep import parse_sweep_options


def submit(
    context: typer.Context,
    scheduler: Annotated[str, typer.Option(help="slurm or lsf.")],
    tasks: Annotated[int, typer.Option(min=1, max=10_000, help="Elements of the array.")] = 4,
    profile: Annotated[
        Path | None, typer.Option(help="YAML file of the site: queue, GPUs, memory, time … (hpc/README.md).")
    ] = None,
    job: Annotated[str, typer.Option(help="Name of the job; by default that of the verb and what it works on.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the script and print it; submit nothing.")] = False,
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
    parameters = _checked(context, context.args)
    site = parse(Profile, read_yaml_file(profile), str(profile)) if profile else Profile()
    opened_home = open_home(home)
    command = [*context.args, "--home", str(opened_home.path)]
    kept = ("MLFLOW_TRACKING_URI", "COLOURBENCH_DEBUG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    array = Array(
        valid_name(job or "-".join(Path(word).stem for word in context.args[:2])), tasks, command, opened_home.path, environment
    )
    urls = {"MLflow's store": opened_home.store.uri}
    if context.args[0] == "sweep":
        urls["the sweep's store"] = parameters.get("storage") or opened_home.optuna_url
    check_stores(urls, array, site)
    path, answer = submit_array(array, site, scheduler, dry_run)  # type: ignore[arg-type]
    say(path.read_text() if dry_run else answer)
    say(f"the script: {path}; logs: {opened_home.path / 'logs'}")


def _checked(context: typer.Context, words: list[str]) -> dict[str, Any]:
    """Parses the command's options as its verb would, so that mistakes are reported now and not on the cluster."""
    verbs = ("sweep", "compare")
    if not words or words[0] not in verbs:
        raise ColourbenchError(
            f"submit needs a command: {' or '.join(verbs)}, written as always, for instance sweep cgan --data pets-64"
        )
    group: Any = context.find_root().command
    verb = group.commands[words[0]]
    inner = verb.make_context(f"submit {words[0]}", list(words[1:]), resilient_parsing=False)
    parameters: dict[str, Any] = inner.params
    if words[0] == "sweep":
        parse_sweep_options(parameters)
    return parameters

"""Writes the script of a job array from a template, and submits it."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common.errors import ColourbenchError
from common.system.atomic import write_atomically
from common.tracking import redacted
from hpc.profile import Profile

Scheduler = Literal["slurm", "lsf"]
SUBMITTERS = {"slurm": "sbatch", "lsf": "bsub"}
LOG_NUMBERS = {"slurm": "%A_%a", "lsf": "%J_%I"}  # of the array and of the element


@dataclass(frozen=True)
class Array:
    """A job array: `elements` copies of one colourbench command, which share the work through the stores."""

    name: str
    elements: int
    command: Sequence[str]
    home: Path
    environment: Mapping[str, str]


def script(array: Array, profile: Profile, scheduler: Scheduler) -> str:
    """The text of the job script."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{scheduler}.sh.j2").render(
        hours=_hours_and_minutes(profile.time),
        array=array,
        profile=profile,
        command=shlex.join(["colourbench", *array.command]),
        environment={name: shlex.quote(value) for name, value in array.environment.items()},
        log=shlex.quote(str(array.home / "logs" / f"{array.name}-{LOG_NUMBERS[scheduler]}.log")),
    )


def _hours_and_minutes(time: str) -> str:
    """A time limit as LSF wants it, without days: 1-04:00 is 28:00."""
    days, dash, rest = time.partition("-")
    if not dash:
        return time
    hours, _, minutes = rest.partition(":")
    return f"{24 * int(days) + int(hours)}:{minutes or '00'}"


def check_stores(urls: Mapping[str, str], array: Array, profile: Profile) -> None:
    """Checks that the stores work on several hosts, which SQLite does not.

    Raises:
        ColourbenchError: a store is an SQLite file and the elements may run on several hosts.
    """
    if array.elements == 1 or profile.single_host:
        return
    for what, url in urls.items():
        if url.startswith("sqlite"):
            raise ColourbenchError(
                f"{what} is {redacted(url)}, and SQLite cannot serve several hosts: start a PostgreSQL and give "
                "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE as --storage and as MLFLOW_TRACKING_URI (or a tracking server), "
                "or name the one host that all elements run on in the profile's single_host"
            )


def submit(array: Array, profile: Profile, scheduler: Scheduler, dry_run: bool) -> tuple[Path, str]:
    """Writes the script below the home folder and submits it unless `dry_run`; returns its path and the scheduler's answer.

    Raises:
        ColourbenchError: the scheduler's command is not on this machine, or it refuses the job.
    """
    path = array.home / "jobs" / f"{array.name}.{scheduler}.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    (array.home / "logs").mkdir(exist_ok=True)
    text = script(array, profile, scheduler)
    write_atomically(path, text.encode(), mode=0o700)  # it may hold a password
    if dry_run:
        return path, ""
    program = SUBMITTERS[scheduler]
    if shutil.which(program) is None:
        raise ColourbenchError(
            f"{program} is not on this machine; the script is {path}: submit it where {scheduler} is"
        )
    # bsub reads #BSUB lines from standard input only; sbatch takes either
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ColourbenchError(
            f"{program} refused {path}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return path, done.stdout.strip()

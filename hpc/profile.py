"""What a site's cluster wants to know of a job."""

from typing import Literal

from pydantic import Field

from common.config import Settings

TIME = r"^(\d+-)?\d{1,3}:\d{2}$"


class Profile(Settings):
    """A site: copy it to a YAML file once and pass it with --profile."""

    queue: str = ""
    """Slurm's partition or LSF's queue; empty takes the site's own."""
    account: str = ""
    """Account or project that is charged."""
    time: str = Field(default="04:00", pattern=TIME)
    """Time limit of one element, hours:minutes. A job that reaches it saves a checkpoint and is queued again."""
    cpus: int = Field(default=4, ge=1, le=1024)
    """CPU cores of one element."""
    memory_gb: int = Field(default=16, ge=1, le=4096)
    """Memory of one element."""
    gpus: int = Field(default=0, ge=0, le=16)
    """GPUs of one element."""
    gpu_request: str = ""
    """How the site asks for a GPU, where it is not `--gpus-per-task=N` (Slurm) or `num=N:mode=exclusive_process` (LSF)."""
    at_once: int = Field(default=0, ge=0, le=10_000)
    """Elements that may run at the same time; 0 means all."""
    warning_seconds: int = Field(default=180, ge=60, le=3600)
    """How long before the time limit the job is warned; a checkpoint must fit in."""
    signal: Literal["USR1", "USR2", "TERM"] = "USR1"
    """The warning's signal. NCCL may take USR1."""
    modules: tuple[str, ...] = ()
    """Environment modules to load."""
    setup: tuple[str, ...] = ()
    """Shell lines before the command, for instance `source ~/colourbench/.venv/bin/activate`."""
    container: str = ""
    """Apptainer image that holds colourbench; empty runs it as installed."""
    extra: tuple[str, ...] = ()
    """Further options as the scheduler takes them, without #SBATCH or #BSUB."""
    single_host: str = ""
    """Name of the one host that all elements run on; only then may the stores be SQLite files."""

"""The settings of a cluster that a job script needs."""

from typing import Literal

from pydantic import Field

from common.config import Settings

TIME = r"^(\d+-)?\d{1,3}:\d{2}$"


class Profile(Settings):
    """A cluster's settings: write them to a YAML file once and pass it with --profile."""

    queue: str = ""
    """Slurm partition or LSF queue; empty uses the cluster's default."""
    account: str = ""
    """Account or project that is charged; empty uses the cluster's default."""
    time: str = Field(default="04:00", pattern=TIME)
    """Time limit of one element, hours:minutes. A job that reaches it saves a checkpoint and is queued again."""
    cpus: int = Field(default=4, ge=1, le=1024)
    """CPU cores of one element."""
    memory_gb: int = Field(default=16, ge=1, le=4096)
    """Memory of one element, in GB."""
    gpus: int = Field(default=0, ge=0, le=16)
    """GPUs of one element."""
    gpu_request: str = ""
    """GPU request, if the cluster needs another one than `--gpus-per-task=N` (Slurm) or `num=N:mode=exclusive_process` (LSF)."""
    at_once: int = Field(default=0, ge=0, le=10_000)
    """Elements that may run at the same time; 0 means all."""
    warning_seconds: int = Field(default=180, ge=60, le=3600)
    """How long before the time limit the job is warned; it must be long enough to save a checkpoint."""
    signal: Literal["USR1", "USR2", "TERM"] = "USR1"
    """Signal of the warning. NCCL may use USR1 itself; choose USR2 then."""
    modules: tuple[str, ...] = ()
    """Environment modules to load."""
    setup: tuple[str, ...] = ()
    """Shell lines before the command, for instance `source ~/colourbench/.venv/bin/activate`."""
    container: str = ""
    """Apptainer image that contains colourbench; empty runs the installed colourbench."""
    extra: tuple[str, ...] = ()
    """Further options for the scheduler, without the leading #SBATCH or #BSUB."""
    single_host: str = ""
    """Name of the one host that all elements run on; only then may the stores be SQLite files."""

"""Job scripts: their text, refusals, and a scheduler's stand-in that runs what it is given."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.config import parse
from common.errors import ColourbenchError
from hpc.profile import Profile
from hpc.submit import Array, check_stores, script

SITE = {
    "queue": "gpuv100",
    "account": "vision",
    "time": "24:00",
    "cpus": 4,
    "memory_gb": 32,
    "gpus": 1,
    "at_once": 8,
    "warning_seconds": 300,
    "signal": "USR2",
    "modules": ["python/3.11"],
    "setup": ["source .venv/bin/activate"],
    "extra": [],
}
COMMAND = ["sweep", "cgan", "--data", "pets 64", "--trials", "9"]


def array(home: Path, elements: int = 3) -> Array:
    return Array(
        "tuning", elements, COMMAND, home, {"MLFLOW_TRACKING_URI": "postgresql://me:it's@db/x"}
    )


def test_slurm_script(tmp_path: Path) -> None:
    text = script(array(tmp_path), parse(Profile, SITE), "slurm")
    directives = [
        line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")
    ]
    assert directives == [
        "--job-name=tuning",
        "--array=1-3%8",
        "--ntasks=1",
        "--cpus-per-task=4",
        "--mem=32G",
        "--time=24:00:00",
        "--signal=B:USR2@300",
        "--requeue",
        "--open-mode=append",
        f"--output={tmp_path}/logs/tuning-%A_%a.log",
        "--partition=gpuv100",
        "--account=vision",
        "--gpus-per-task=1",
    ]
    assert "module load python/3.11\nsource .venv/bin/activate\n" in text
    assert """export MLFLOW_TRACKING_URI='postgresql://me:it'"'"'s@db/x'""" in text
    assert "\ncolourbench sweep cgan --data 'pets 64' --trials 9 &\n" in text
    assert "trap warn USR2" in text and "scontrol requeue" in text


def test_lsf_script(tmp_path: Path) -> None:
    site = SITE | {"extra": ['-R "select[gpu32gb]"'], "container": "/images/colourbench.sif"}
    text = script(array(tmp_path), parse(Profile, site), "lsf")
    directives = [
        line.removeprefix("#BSUB ") for line in text.splitlines() if line.startswith("#BSUB")
    ]
    assert directives == [
        '-J "tuning[1-3]%8"',
        "-n 4",
        '-R "span[hosts=1]"',
        '-R "rusage[mem=32GB]"',
        "-W 24:00",
        "-wa USR2 -wt 5",
        '-Q "99"',
        f"-o {tmp_path}/logs/tuning-%J_%I.log",
        "-q gpuv100",
        "-P vision",
        '-gpu "num=1:mode=exclusive_process"',
        '-R "select[gpu32gb]"',
    ]
    assert (
        "\napptainer exec --nv /images/colourbench.sif colourbench sweep" in text
        and "exit 99" in text
    )


@pytest.mark.parametrize(
    ("time", "lsf"), [("24:00", "24:00"), ("1-04:00", "28:00"), ("2-00:30", "48:30")]
)
def test_days_are_hours_for_lsf(time: str, lsf: str, tmp_path: Path) -> None:
    assert f"#BSUB -W {lsf}\n" in script(
        array(tmp_path), parse(Profile, SITE | {"time": time}), "lsf"
    )


@pytest.mark.parametrize(
    ("scheduler", "option"), [("slurm", "#SBATCH --output="), ("lsf", "#BSUB -o ")]
)
def test_a_folder_with_a_space_stays_one_word(scheduler: str, option: str, tmp_path: Path) -> None:
    text = script(array(tmp_path / "my photos"), parse(Profile, {}), scheduler)  # type: ignore[arg-type]
    (line,) = [line for line in text.splitlines() if line.startswith(option)]
    (log,) = shlex.split(line.removeprefix(option))
    assert log.startswith(f"{tmp_path}/my photos/logs/tuning-%")


@pytest.mark.parametrize("scheduler", ["slurm", "lsf"])
def test_a_cancelled_script_waits_for_its_command(scheduler: str, tmp_path: Path) -> None:
    """SIGTERM reaches the command, which saves; the shell ends after it, with its status."""
    text = script(array(tmp_path), parse(Profile, {}), scheduler)  # type: ignore[arg-type]
    command = tmp_path / "bin" / "colourbench"
    command.parent.mkdir()
    command.write_text(
        f"#!/bin/bash\ntrap 'sleep 1; touch {tmp_path}/saved; exit 130' TERM\ntouch {tmp_path}/begun\nwhile :; do sleep .1; done\n"
    )
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(["bash", "-c", text], env=environment)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=30) == 130 and (tmp_path / "saved").exists()


@pytest.mark.parametrize("scheduler", ["slurm", "lsf"])
def test_scripts_are_valid_bash(scheduler: str, tmp_path: Path) -> None:
    for site in (SITE, {}):
        text = script(array(tmp_path), parse(Profile, site), scheduler)  # type: ignore[arg-type]
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    "field", [{"time": "a day"}, {"signal": "KILL"}, {"warning_seconds": 5}, {"qeue": "x"}]
)
def test_wrong_profiles_are_told(field: dict[str, object]) -> None:
    with pytest.raises(ColourbenchError, match=next(iter(field))):
        parse(Profile, field)


def test_sqlite_does_not_serve_several_hosts(tmp_path: Path) -> None:
    urls = {"the sweep's store": f"sqlite:///{tmp_path}/optuna.db"}
    with pytest.raises(ColourbenchError, match="SQLite cannot serve several hosts"):
        check_stores(urls, array(tmp_path), Profile())
    check_stores(urls, array(tmp_path, elements=1), Profile())
    check_stores(urls, array(tmp_path), Profile(single_host="node7"))
    check_stores({"MLflow's store": "postgresql://db/x"}, array(tmp_path), Profile())


# A stand-in for LSF's bsub: reads #BSUB lines from standard input, runs every element, warns it before its time, and
# queues an element again that ends with the status that -Q names.
BSUB = r"""#!/usr/bin/env python3
import os, re, signal, subprocess, sys, time
text = sys.stdin.read()
if "#BSUB" not in text:
    sys.exit("bsub: no #BSUB lines on standard input")
name, count = re.search(r'#BSUB -J "(.+)\[1-(\d+)\]', text).groups()
requeue = int(re.search(r'#BSUB -Q "(\d+)"', text)[1])
warning = getattr(signal, "SIG" + re.search(r"#BSUB -wa (\w+)", text)[1])
limit = float(os.environ["FAKE_LIMIT"])
log = re.search(r"#BSUB -o (\S+)", text)[1]
for element in range(1, int(count) + 1):
    while True:
        environment = {**os.environ, "LSB_JOBINDEX": str(element), "LSB_JOBID": "77"}
        with open(log.replace("%J", "77").replace("%I", str(element)), "a") as out:
            job = subprocess.Popen(["bash", "-c", text], env=environment, stdout=out, stderr=out)
        try:
            job.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            job.send_signal(warning)
            job.wait(timeout=120)
        if job.returncode != requeue:
            break
    print(f"element {element} ended with {job.returncode}", file=sys.stderr)
print("Job <77> is submitted to default queue.")
"""


@pytest.mark.integration
def test_a_sweep_through_a_stand_in_for_lsf(home: Path, tmp_path: Path) -> None:
    """Elements reach their time limit, save, are queued again with status 99, and finish the sweep."""
    from studies.home import Home
    from studies.sweeps import claims, sweep

    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bsub").write_text(BSUB)
    (programs / "bsub").chmod(0o755)
    site = tmp_path / "site.yaml"
    site.write_text(
        f"single_host: here\nsetup: ['export PATH={Path(sys.executable).parent}:$PATH']\n"
    )
    small = [
        "batches.size=4",
        "engine.device=cpu",
        "engine.threads=1",
        "watch.validations=4",
        "watch.preview_images=0",
    ]
    small += [
        "variant.generator.network.base_width=4",
        "variant.critic.network.base_width=4",
        "watch.checkpoint_seconds=0.05",
    ]
    options = [word for setting in small for word in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "colourbench",
        "submit",
        "--scheduler",
        "lsf",
        "--tasks",
        "2",
        "--profile",
        str(site),
    ]
    command += [
        "--home",
        str(home),
        "sweep",
        "cgan",
        "--data",
        "fields-32",
        "--trials",
        "3",
        "--images",
        "800",
        "--name",
        "s",
        *options,
    ]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "FAKE_LIMIT": "25"}
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "Job <77> is submitted" in done.stdout
    trials = sweep.load(Home(home), "s").trials
    finished = [trial for trial in trials if trial.state in claims.FINAL]
    assert len(finished) == 3 and len({trial.user_attrs["run"] for trial in finished}) == 3
    log = "".join(path.read_text() for path in (home / "logs").glob("sweep-cgan-77_*.log"))
    # on a fast machine all may be done before the first limit
    if time.monotonic() - began > 90:
        assert "queued again" in log and "going on from image" in log
    assert re.search(r"trial 00\d delta_e", log)


def test_dry_run_and_mistakes_by_the_command(home: Path) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-m",
            "colourbench",
            "submit",
            "--scheduler",
            "slurm",
            *words,
            "--home",
            str(home),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = run(
        "--tasks", "1", "--dry-run", "sweep", "cgan", "--data", "fields-32", "--trials", "2"
    )
    assert (
        shown.returncode == 0
        and "#SBATCH --array=1-1" in shown.stdout
        and "sweep cgan --data fields-32 --trials 2 --home" in shown.stdout
    )
    assert (home / "jobs" / "sweep-cgan.slurm.sh").stat().st_mode & 0o077 == 0
    for words, reason in (
        (["sweep", "cgan", "--data", "fields-32"], "SQLite cannot serve several hosts"),
        (["--tasks", "1", "train", "cgan"], "submit needs a command: sweep or compare"),
        (["--tasks", "1", "sweep", "cgan", "--trails", "2"], "No such option"),
        (
            ["--tasks", "1", "sweep", "cgan", "--data", "fields-32", "--trials", "0"],
            "the sweep: trials",
        ),
    ):
        told = run(*words)
        assert (
            told.returncode != 0
            and reason in told.stderr + told.stdout
            and "Traceback" not in told.stderr
        ), told.stderr

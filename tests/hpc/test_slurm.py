"""A real Slurm on this machine: an array of sweep workers reaches its time limit, is queued again, and finishes the sweep."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studies.home import Home
from studies.sweeps import claims, sweep

CONFIG = """
ClusterName=colourbench
SlurmctldHost={host}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=30
MinJobAge=3600
NodeName={host} CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """slurmctld and slurmd of our own."""
    if not all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch")):
        pytest.skip("Slurm is not installed (Debian: slurm-wlm)")
    if os.getuid() != 0:
        pytest.skip("starting Slurm's daemons needs root")
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "slurm.conf").write_text(
        CONFIG.format(host=socket.gethostname().split(".")[0], folder=folder)
    )
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    daemons = [
        subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in ("slurmctld", "slurmd")
    ]
    deadline = time.monotonic() + 60
    while (
        "idle"
        not in subprocess.run(
            ["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False
        ).stdout
    ):
        if time.monotonic() > deadline:
            pytest.fail((folder / "slurmctld.log").read_text()[-2000:])
        time.sleep(1)
    yield folder
    subprocess.run(["scancel", "--user", "root"], check=False)
    time.sleep(2)
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait()


@pytest.mark.integration
def test_an_array_reaches_its_limit_and_goes_on(slurm: Path, home: Path, tmp_path: Path) -> None:
    # a space in its name must not end the log's name
    home = home.rename(tmp_path / "home of mine")
    site = tmp_path / "site.yaml"
    host = socket.gethostname().split(".")[0]
    site.write_text(
        f"single_host: {host}\ntime: '0:02'\nwarning_seconds: 60\ncpus: 1\nmemory_gb: 1\n"
        f"setup: ['export PATH={Path(sys.executable).parent}:$PATH']\n"
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
        "watch.checkpoint_seconds=0.2",
    ]
    # more than a job has, less than two
    small += ["budget.unit=seconds", "budget.amount=55"]
    options = [word for setting in small for word in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "colourbench",
        "submit",
        "--scheduler",
        "slurm",
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
        "2",
        "--name",
        "s",
    ]
    submitted = subprocess.run(
        [*command, "--pruner", "none", *options], capture_output=True, text=True, check=False
    )
    assert submitted.returncode == 0 and "Submitted batch job" in submitted.stdout, submitted.stderr
    deadline = time.monotonic() + 1500
    while subprocess.run(
        ["squeue", "-h"], capture_output=True, text=True, check=True
    ).stdout.strip():
        assert time.monotonic() < deadline, (slurm / "slurmctld.log").read_text()[-2000:]
        time.sleep(3)
    logs = "".join(path.read_text() for path in sorted((home / "logs").glob("sweep-cgan-*.log")))
    print(logs)
    trials = sweep.load(Home(home), "s").trials
    finished = [trial for trial in trials if trial.state in claims.FINAL]
    assert len(finished) == 2 and len({trial.user_attrs["run"] for trial in finished}) == 2
    assert not [trial for trial in trials if trial.state.name in ("RUNNING", "WAITING")]
    assert "time is nearly up: queued again" in logs and "going on from image" in logs

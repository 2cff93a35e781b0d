"""What all tests share: shape checks switched on, one thread, small photographs with known colours."""

import ipaddress
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# one test looks at it; others need not wait for its threads
os.environ["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] = "false"
os.environ["COLUMNS"] = "200"  # the help must not wrap differently on a narrow terminal

from jaxtyping import install_import_hook

# Where shapes matter most; checking every call of the suite would take a sixth more time.
CHECKED = ["common.colour", "common.data", "common.networks", "variants.losses", "analysis.metrics"]
install_import_hook(CHECKED, "beartype.beartype")

import numpy as np
import pytest
import torch
from PIL import Image

from common.data import preparation
from common.data.manifest import ShardConfig
from common.data.shards import Dataset
from common.data.sources.published import list_files
from common.loop.engine import Engine, EngineConfig
from common.tracking import Store

torch.set_num_threads(1)

POSTGRES = Path("/usr/lib/postgresql")
CORPORA = Path(
    os.environ.get(
        "COLOURBENCH_CORPORA", Path(__file__).resolve().parents[2] / "shared" / "corpora"
    )
)

PUBLISHED = Path(
    os.environ.get(
        "COLOURBENCH_RATINGS", Path(__file__).resolve().parents[2] / "shared" / "ratings"
    )
)


def photograph(seed: int, size: tuple[int, int] = (80, 96)) -> np.ndarray:
    """A colourful picture: smooth colour fields whose hue follows their lightness, with some noise. (H, W, 3) uint8."""
    draw = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    phase = draw.uniform(0, 2 * np.pi, size=3)
    waves = [
        np.sin(2 * np.pi * (draw.uniform(0.5, 2) * x + draw.uniform(0.5, 2) * y) + p) for p in phase
    ]
    rgb = 127 + 90 * np.stack(waves, axis=-1) + draw.normal(0, 4, size=(height, width, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four photographs in two class folders."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(24):
        folder = root / ("field" if number % 2 else "sea")
        folder.mkdir(exist_ok=True)
        Image.fromarray(photograph(number)).save(folder / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def dataset(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Those photographs at 32 pixels, prepared in a home folder: its path is `dataset.folder.parents[1]`."""
    config = ShardConfig(size=32, margin=4, validation=0.2, test=0.2)
    folder = tmp_path_factory.mktemp("home") / "data" / "fields-32"
    return preparation.prepare(list_files("folder", photo_folder), folder, config)


@pytest.fixture
def engine() -> Engine:
    """Float32 on the CPU."""
    return Engine(EngineConfig(device="cpu", precision="32"))


@pytest.fixture
def store(tmp_path: Path, fresh_store: Path) -> Store:
    """An empty MLflow store."""
    (tmp_path / "mlflow.db").write_bytes(fresh_store.read_bytes())
    return Store(tmp_path)


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's schema, made once: it takes seconds."""
    home = tmp_path_factory.mktemp("fresh-store")
    Store(home)
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, dataset: Dataset, fresh_store: Path) -> Path:
    """A home folder with the data set and an empty store."""
    shutil.copytree(dataset.folder.parent, tmp_path / "home" / "data")
    shutil.copy(fresh_store, tmp_path / "home" / "mlflow.db")
    return tmp_path / "home"


PRELOADED = ["mlflow.store.tracking.sqlalchemy_store", "lightning_fabric", "studies.runs.train"]


@pytest.fixture(scope="session")
def child() -> Callable[..., BaseProcess]:
    """Starts a process that executes `code` with these names; torch and MLflow, which take seconds, are imported for all of them once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start(code: str, **names: object) -> BaseProcess:
        process = context.Process(target=exec, args=(code, names))
        process.start()
        return process

    return start


@pytest.fixture(scope="session")
def corpora() -> Path:
    """A folder of awkward images made by others, where there is one."""
    if not CORPORA.is_dir():
        pytest.skip("no folder of awkward images: set COLOURBENCH_CORPORA to one")
    return CORPORA


@pytest.fixture(scope="session")
def make_photograph() -> Callable[..., np.ndarray]:
    """The maker of test photographs."""
    return photograph


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After it is set up the suite needs no network: a test that reaches for another machine fails, whatever it catches."""
    reached_for: list[str] = []
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_this_machine(
            str(address[0])
        ):
            reached_for.append(str(address))
            raise ConnectionRefusedError(f"tests reach no other machine: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    yield
    assert reached_for == []


def _is_this_machine(host: str) -> bool:
    if host in ("localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # another name
        return False


@pytest.fixture(scope="session")
def a_free_port() -> Callable[[], int]:
    """Finds a port that nobody listens at."""
    return free_port


def free_port() -> int:
    """A port that nobody listens at: of a range that each worker of the suite has for itself, and from which the system takes none
    for connections that go out."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    candidates = list(range(20_000 + 500 * worker, 20_500 + 500 * worker))
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port between 20,000 and 30,000 is free")


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL server of its own, on a free port."""
    programs = sorted(POSTGRES.glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (no initdb below /usr/lib/postgresql)")
    folder, binaries = Path("/tmp") / f"colourbench-pg-{os.getpid()}", programs[-1].parent
    folder.mkdir()
    as_user: list[str] = []
    if os.getuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]
    port = free_port()

    def run(*command: str) -> None:
        subprocess.run(
            [*as_user, *command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/tmp",
        )

    run(str(binaries / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "colourbench")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(
        str(binaries / "pg_ctl"),
        "-D",
        str(folder / "data"),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        options,
        "start",
    )
    try:
        yield f"postgresql+psycopg://colourbench:secret@127.0.0.1:{port}/postgres"
    finally:
        run(str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def published() -> Path:
    """A folder of published ratings, where there is one: hecd/, p913/, pwcmp/."""
    if not PUBLISHED.is_dir():
        pytest.skip("no folder of published ratings: set COLOURBENCH_RATINGS to one")
    return PUBLISHED

"""The home folder, and the path of everything inside it."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ColourbenchError
from common.system.names import MANIFEST
from common.tracking import Store

if TYPE_CHECKING:
    from common.data.shards import Dataset


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # valid names of folders and MLflow experiments


class Home:
    """The folder that holds data sets, stores, reports and rating sheets."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ColourbenchError(
                f"cannot make the home folder {path}: {error.strerror}; choose another with --home"
            ) from None
        self.path = path.resolve()
        self._store: Store | None = None

    @property
    def data(self) -> Path:
        """The folder of prepared data sets."""
        return self.path / "data"

    @property
    def store(self) -> Store:
        """MLflow's store, opened on first use."""
        if self._store is None:
            self._store = Store(self.path)
        return self._store

    @property
    def optuna_url(self) -> str:
        """The URL of the default Optuna store, an SQLite file."""
        return f"sqlite:///{self.sweeps_file}"

    @property
    def sweeps_file(self) -> Path:
        """The SQLite file of the default Optuna store."""
        return self.path / "optuna.db"

    @property
    def logs(self) -> Path:
        """The folder with the logs of sweep workers and cluster jobs."""
        return self.path / "logs"

    def lock(self, name: str) -> Path:
        """The lock file of that name, for a lock between processes."""
        return self.path / "locks" / f"{name}.lock"

    def report(self, study: str) -> Path:
        """The folder of a study's report."""
        return self.path / "reports" / study

    def ratings(self, study: str) -> Path:
        """The folder of a study's human ratings."""
        return self.path / "ratings" / study

    def dataset(self, name: str) -> "Dataset":
        """Opens a prepared data set by name.

        Raises:
            ColourbenchError: no data set has this name; the message lists those that exist.
        """
        self.check_dataset(name)
        # imported after the check, which does not need it
        from common.data.shards import Dataset

        return Dataset(self.data / name)

    def check_dataset(self, name: str) -> None:
        """Checks quickly that a data set is prepared.

        Raises:
            ColourbenchError: the data set is not prepared.
        """
        if not (self.data / name / MANIFEST).is_file():
            known = ", ".join(self.datasets()) or "none yet"
            raise ColourbenchError(
                f"there is no data set {name!r} in {self.data} (prepared: {known}); see `colourbench data prepare --help`"
            )

    def datasets(self) -> list[str]:
        """Names of the prepared data sets."""
        return sorted(path.parent.name for path in self.data.glob(f"[!.]*/{MANIFEST}"))

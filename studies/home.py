"""The home folder, with a name for everything below it."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ColourbenchError
from common.files.names import MANIFEST
from common.tracking import Store

if TYPE_CHECKING:
    from common.data.shards import Dataset


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # of what becomes a folder or an experiment


class Home:
    """The folder that holds data sets, stores, reports and rating sheets."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ColourbenchError(f"cannot make the home folder {path}: {error.strerror}; choose another with --home") from None
        self.path = path.resolve()
        self._store: Store | None = None

    @property
    def data(self) -> Path:
        """Prepared data sets."""
        return self.path / "data"

    @property
    def store(self) -> Store:
        """MLflow's store, opened when it is first needed."""
        if self._store is None:
            self._store = Store(self.path)
        return self._store

    @property
    def optuna_url(self) -> str:
        """The embedded store of the sweeps."""
        return f"sqlite:///{self.sweeps_file}"

    @property
    def sweeps_file(self) -> Path:
        """The file of that store."""
        return self.path / "optuna.db"

    @property
    def logs(self) -> Path:
        """The logs of a sweep's workers, and of cluster jobs."""
        return self.path / "logs"

    def lock(self, name: str) -> Path:
        """The file of a lock between processes."""
        return self.path / "locks" / f"{name}.lock"

    def report(self, study: str) -> Path:
        """The folder of a study's report."""
        return self.path / "reports" / study

    def ratings(self, study: str) -> Path:
        """The folder of a study's human ratings."""
        return self.path / "ratings" / study

    def dataset(self, name: str) -> "Dataset":
        """A prepared data set by name.

        Raises:
            ColourbenchError: there is none; the message names those there are.
        """
        self.check_dataset(name)
        from common.data.shards import Dataset  # after what can be checked without it

        return Dataset(self.data / name)

    def check_dataset(self, name: str) -> None:
        """Whether a data set is prepared; quick.

        Raises:
            ColourbenchError: it is not.
        """
        if not (self.data / name / MANIFEST).is_file():
            known = ", ".join(self.datasets()) or "none yet"
            raise ColourbenchError(
                f"there is no data set {name!r} in {self.data} (prepared: {known}); see `colourbench data prepare --help`"
            )

    def datasets(self) -> list[str]:
        """Names of the prepared data sets."""
        return sorted(path.parent.name for path in self.data.glob(f"[!.]*/{MANIFEST}"))

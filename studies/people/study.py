"""A human study's folder: the key that raters must not see, the pictures, and the promise that the key does not change.

FOLDER/key.json       the design, the arms, the secret, and the sheets' trials
FOLDER/pictures.npz   every photograph in all its versions
FOLDER/sheets/        what is handed out, with the key's SHA-256, written before the first answer
FOLDER/responses.db   the answers of page and sheets
"""

import hashlib
import hmac
import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.people.design import Design, Trial
from analysis.people.schedule import Schedule
from common.errors import ColourbenchError, first_line
from common.system import integrity
from common.system.atomic import PRIVATE, write_atomically
from common.system.integrity import file_sha256
from common.system.names import KEY
from common.tracking.names import WITHOUT
from studies.people.pictures import Material, Pictures

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results import Results

SCHEMA = 5
COMMITMENT = "commitment.txt"
PICTURES = "pictures.npz"
RESPONSES = "responses.db"


@dataclass(frozen=True)
class Key:
    """The information that is hidden from raters."""

    study: str
    design: Design
    arms: dict[str, list[int]]  # with their seeds
    secret: str
    trials: list[Trial]  # of the sheets; the page deals its own
    fixed: tuple[str, ...] = ()  # arms without seeds
    images: tuple[str, ...] = ()
    # of each arm and seed, the id of the run whose photographs are shown
    runs: dict[str, dict[int, str]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The content of the key file."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Key":
        """The key from the content of a key file.

        Raises:
            KeyError, TypeError, ValueError: the content is no key of this version.
        """
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        runs = {
            arm: {int(seed): run for seed, run in by_seed.items()}
            for arm, by_seed in content["runs"].items()
        }
        return cls(
            study=content["study"],
            design=Design(**content["design"]),
            arms=content["arms"],
            secret=content["secret"],
            trials=[Trial(**trial) for trial in content["trials"]],
            fixed=tuple(content["fixed"]),
            images=tuple(content["images"]),
            runs=runs,
        )

    def keyed(self, text: str, length: int = 32) -> str:
        """A pseudonym of a text that only the holder of the key can compute (HMAC-SHA-256)."""
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:length]

    def withdrawal_code(self, rater: str) -> str:
        """The code that a rater can withdraw with."""
        return self.keyed(f"withdraw {rater}", 12).upper()

    @property
    def shown_runs(self) -> "pd.DataFrame":
        """The runs whose photographs raters see: columns arm, seed, run."""
        import pandas as pd

        rows = [
            (arm, seed, run) for arm, by_seed in self.runs.items() for seed, run in by_seed.items()
        ]
        return pd.DataFrame(rows, columns=["arm", "seed", "run"])

    @property
    def schedule(self) -> Schedule:
        """The plan that deals trials."""
        return Schedule(self.design, self.images, self.arms, self.secret)


def _check_free(folder: Path) -> None:
    if (folder / RESPONSES).exists():
        raise ColourbenchError(f"{folder} is a study that has begun; give another --out")
    if folder.exists():
        raise ColourbenchError(
            f"{folder} exists, and its sheets are perhaps in raters' hands; give another --out, or remove it"
        )


def _new_key(photographs: Material, design: Design, has_sheets: bool) -> Key:
    secret = secrets.token_hex(16)
    schedule = Schedule(design, photographs.names, photographs.seeds, secret)
    schedule.check()
    return Key(
        study=photographs.study,
        design=design,
        arms=photographs.seeds,
        secret=secret,
        trials=schedule.plan() if has_sheets else [],
        fixed=photographs.fixed,
        images=tuple(photographs.names),
        runs=photographs.runs,
    )


class RatingStudy:
    """A human study in its folder."""

    def __init__(self, folder: Path) -> None:
        """Reads the key.

        Raises:
            ColourbenchError: the key is missing or damaged, or its checksum differs from the promised one.
        """
        self.folder = folder
        self.key = read_key(folder)

    @classmethod
    def create(
        cls, photographs: Material, design: Design, folder: Path, hand_out: "HandOut | None" = None
    ) -> "RatingStudy":
        """Makes the folder, which appears only when it is complete.

        The key's SHA-256 is written beside the sheets before the first answer, so that any later change to the key is detected.

        Args:
            hand_out: writes the sheets; without it there are none, and the study is for the page.

        Raises:
            ColourbenchError: the folder exists already (its sheets may have been handed out), or the design does not fit.
        """
        _check_free(folder)
        key = _new_key(photographs, design, has_sheets=hand_out is not None)
        work = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(work, ignore_errors=True)
        (work / "sheets").mkdir(parents=True)
        write_atomically(work / KEY, key.to_json(), mode=PRIVATE)
        digest = hashlib.sha256(key.to_json()).hexdigest()
        write_atomically(work / "sheets" / COMMITMENT, f"SHA-256 of the key: {digest}\n".encode())
        pictures = Pictures.of(photographs, design.seed)
        pictures.save(work / PICTURES)
        integrity.seal(work, [PICTURES])
        if hand_out:
            hand_out(work / "sheets", key, pictures)
        work.replace(folder)
        return cls(folder)

    @classmethod
    def begin(
        cls,
        results: "Results",
        design: Design,
        folder: Path,
        arms: Sequence[str] = (),
        hand_out: "HandOut | None" = None,
    ) -> "RatingStudy":
        """Begins the human study of a compared study; one of the same design and arms that exists already is opened as it is.

        Raises:
            ColourbenchError: the folder holds another study, or the design does not fit the photographs.
        """
        photographs = material(results, arms)
        if (folder / KEY).exists():
            there = cls(folder)
            if (there.key.study, there.key.design, list(there.key.arms)) == (
                photographs.study,
                design,
                list(photographs.arms),
            ):
                return there  # seeds may have been added since
        return cls.create(photographs, design, folder, hand_out)

    @property
    def sheets(self) -> Path:
        """The folder of what is handed out."""
        return self.folder / "sheets"

    @cached_property
    def pictures(self) -> Pictures:
        """The pictures that trials show."""
        return Pictures.load(self.folder / PICTURES, list(self.key.images))

    @property
    def database(self) -> str:
        """The URL of the answers' default store."""
        return f"sqlite:///{self.folder.resolve() / RESPONSES}"

    def keyed(self, text: str, length: int = 32) -> str:
        """A pseudonym of a text, as `Key.keyed` gives it."""
        return self.key.keyed(text, length)


HandOut = Callable[[Path, Key, Pictures], None]


def read_key(folder: Path) -> Key:
    """Reads the key of a study's folder.

    Raises:
        ColourbenchError: the key is missing or damaged, or its checksum differs from the one beside the sheets.
    """
    path = folder / KEY
    promise = folder / "sheets" / COMMITMENT
    if not path.is_file():
        raise ColourbenchError(
            f"there is no {path}; begin a study with `colourbench ratings sheets` or `ratings serve`"
        )
    remedy = "without it the answers cannot be read: put a copy of it back"
    content = integrity.read_json(path, remedy)
    if promise.is_file() and file_sha256(path) not in promise.read_text(
        encoding="utf-8", errors="replace"
    ):
        raise integrity.Damaged(f"{path} is not the key that {promise} promises; {remedy}")
    try:
        return Key.from_json(content)
    except (KeyError, TypeError, ValueError) as error:
        raise integrity.Damaged(
            f"{path} is damaged or of another version: {first_line(error)}; {remedy}"
        ) from None


def material(results: "Results", arms: Sequence[str] = ()) -> Material:
    """The photographs to rate, from all seeds: those of the chosen arms, by default of all but the baselines.

    Raises:
        ColourbenchError: the study has no such arm.
    """
    unknown = set(arms) - set(results.arms)
    if unknown:
        raise ColourbenchError(
            f"the study {results.name} has no arm {', '.join(sorted(unknown))}; its arms are {', '.join(results.arms)}"
        )
    shown = [
        arm
        for arm in results.arms
        if arm not in results.settings["baselines"] and not arm.endswith(WITHOUT)
    ]
    chosen = list(arms) or shown
    by_seed = {
        arm: {int(run.tags["seed"]): results.samples_of(run) for run in results.runs_of(arm)}
        for arm in chosen
    }
    fixed = tuple(arm for arm in chosen if arm in results.baselines or arm in results.outside)
    runs = {arm: {int(run.tags["seed"]): run.id for run in results.runs_of(arm)} for arm in chosen}
    return Material(results.name, results.sample_names, results.truth, by_seed, fixed, runs)

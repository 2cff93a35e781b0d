"""Colourises files: which ones, where the results go, several at once, and what to say of each."""

import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy as np
import torch

from common.data.decoding.images import SUFFIXES as PHOTOGRAPHS
from common.data.sources.files import images_below
from common.errors import ColourbenchError, first_line
from common.system.names import DEBUG
from studies.use import photographs, prediction
from studies.use.photographs import SUFFIXES, Original
from studies.use.prediction import GB, Sight
from studies.use.record import UNKNOWN, Maker, Record
from studies.use.settings import Format
from variants.players.colouriser import Colouriser

VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ogv")
BATCH = 8  # photographs of one shape that the network sees at once
A_PIXEL = 14  # bytes: Pillow's four, decoded, coloured, and while it is encoded


@dataclass(frozen=True)
class Job:
    """A file, and where its result goes: a path below the output folder, without a suffix."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its name."""
        return self.source.suffix.lower() in VIDEOS


@dataclass(frozen=True)
class Output:
    """How results are written.

    Args:
        samples: versions of each photograph; 0 writes the one best guess.
        memory_gb: for everything that grows with the photograph.
        originals: files that no result may replace, whatever `force` says.
        record: of the folder's results; without one, whatever exists is taken as it is.
        maker: the model and the settings, for the record.
    """

    folder: Path
    format: Format = "png"
    keeps_metadata: bool = True
    side_by_side: bool = False
    force: bool = False
    samples: int = 0
    saturation: float = 1.0
    memory_gb: float = 2.0
    originals: frozenset[Path] = frozenset()
    record: Record | None = None
    maker: Maker = UNKNOWN

    def is_done(self, target: Path, job: Job) -> bool:
        """Whether a result is there and need not be written: it is what would be written, or its origin is not known."""
        if self.force or not target.exists():
            return False
        if self.record is None:
            return True
        return self.record.is_current(target, job.source, self.maker) is not False

    def note(self, target: Path, job: Job) -> None:
        """Adds a written result to the record."""
        if self.record is not None:
            self.record.add(target, job.target, job.source, self.maker)

    def targets(self, job: Job) -> list[Path]:
        """The files that a job writes."""
        names = [f"-sample-{number}" for number in range(1, self.samples + 1)] or [""]
        return [
            self.folder / job.target.with_name(f"{job.target.name}{name}{self._suffix(job)}")
            for name in names
        ]

    def kind(self, job: Job) -> str:
        """The format of a job's results: `same` follows the photograph, or is PNG for what cannot be written."""
        if self.format != "same":
            return self.format
        suffix = job.source.suffix.lower()
        like = {
            ".jpg": "jpeg",
            ".jpeg": "jpeg",
            ".jpe": "jpeg",
            ".jfif": "jpeg",
            ".tiff": "tiff",
            ".tif": "tiff",
            ".webp": "webp",
        }
        return like.get(suffix, "png")

    @property
    def max_pixels(self) -> int:
        """How many pixels may be in memory at once, in half of it; the other half is for the networks."""
        return int(self.memory_gb / 2 * GB / A_PIXEL)

    def _suffix(self, job: Job) -> str:
        return ".mp4" if job.is_video else SUFFIXES[self.kind(job)]


@dataclass(frozen=True)
class Outcome:
    """What became of a file: what was written, what there is to say, or why nothing was written."""

    job: Job
    written: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()
    error: str = ""
    is_skipped: bool = False


def jobs_in(
    sources: Iterable[Path], out: Path | None = None, record: Record | None = None
) -> list[Job]:
    """The given files, and the photographs and videos in the given folders; results keep a folder's own structure.

    What lies below `out`, the folder of results, is left out of the folders, and so is every result that `record` knows.

    Raises:
        ColourbenchError: a file or folder does not exist, or there are no images.
    """
    jobs: list[Job] = []
    for source in sources:
        if not source.exists():
            raise ColourbenchError(f"there is no file or folder {source}")
        if not source.is_dir():
            jobs.append(Job(source, Path(source.stem)))
            continue
        films = (
            path
            for path in sorted(source.rglob("*"))
            if path.suffix.lower() in VIDEOS and path.is_file()
        )
        below = (
            path
            for path in (*images_below(source), *films)
            if not _is_result(path, source, out) and not (record and record.is_result(path))
        )
        jobs += [Job(path, path.relative_to(source).with_suffix("")) for path in below]
    if not jobs:
        raise ColourbenchError(
            f"these folders hold no photographs ({', '.join(PHOTOGRAPHS)}) and no videos"
        )
    return _without_clashes(jobs, record)


def _is_result(path: Path, source: Path, out: Path | None) -> bool:
    """Whether a file in a folder lies in the folder of results within it."""
    return (
        out is not None
        and out.resolve() != source.resolve()
        and path.resolve().is_relative_to(out.resolve())
    )


def _without_clashes(jobs: list[Job], record: Record | None) -> list[Job]:
    """Numbers the results of files that would have the same name; a source keeps the name that its results have had."""
    known = {job: record.target_of(job.source) for job in jobs} if record else {}
    taken = {target for target in known.values() if target}
    result = []
    for job in jobs:
        target = known.get(job)
        if target is None:
            numbered = (job.target.with_name(f"{job.target.name}-{number}") for number in count(2))
            names = chain([job.target], numbered)
            target = next(name for name in names if _is_free(name, taken, record))
            taken.add(target)
        result.append(replace(job, target=target))
    return result


def _is_free(name: Path, taken: set[Path], record: Record | None) -> bool:
    return name not in taken and (record is None or record.owner(name) is None)


def colourise_photographs(
    colouriser: Colouriser, jobs: Sequence[Job], sight: Sight, output: Output
) -> Iterator[Outcome]:
    """Colourises photographs in order; after a bad file the others still are. What exists stays, unless `force` is set."""
    output = replace(output, originals=output.originals | {job.source.resolve() for job in jobs})
    sight = replace(sight, memory_gb=output.memory_gb / 2)
    wanted: list[Job] = []
    for job in jobs:
        if reason := reason_to_skip(job, output):
            yield Outcome(job, error=reason[0], remarks=reason[1:], is_skipped=not reason[0])
        else:
            wanted.append(job)
    with ThreadPoolExecutor(2) as readers:
        for chunk in _chunks(wanted, output.max_pixels):
            yield from _together(
                colouriser,
                chunk,
                list(readers.map(lambda job: _read(job, output), chunk)),
                sight,
                output,
            )


def reason_to_skip(job: Job, output: Output) -> tuple[str, ...]:
    """(error,) or ("", remark) for a file that is not coloured; empty for one that is."""
    targets = output.targets(job)
    if any(target.resolve() in output.originals | {job.source.resolve()} for target in targets):
        return (
            f"{job.source}: the result would replace a photograph itself; choose another --out",
        )
    if all(output.is_done(target, job) for target in targets):
        return ("", f"{targets[0]} exists; --force writes it again")
    return ()


def _chunks(jobs: list[Job], max_pixels: int) -> Iterator[list[Job]]:
    """Groups of a few files whose pixels fit into memory together."""
    chunk: list[Job] = []
    used = 0
    for job in jobs:
        pixels = photographs.pixels_of(job.source)
        if chunk and (len(chunk) == BATCH or used + pixels > max_pixels):
            yield chunk
            chunk = []
            used = 0
        chunk.append(job)
        used += pixels
    if chunk:
        yield chunk


def _read(job: Job, output: Output) -> Original | ColourbenchError:
    try:
        return photographs.read(job.source, output.max_pixels)
    except ColourbenchError as error:
        hint = "; raise --max-memory-gb" if "pixels are more than" in str(error) else ""
        return ColourbenchError(f"{job.source}: {error}{hint}")


def _together(
    colouriser: Colouriser,
    jobs: list[Job],
    originals: list[Original | ColourbenchError],
    sight: Sight,
    output: Output,
) -> Iterator[Outcome]:
    """Photographs that the network sees in the same shape share its forward passes."""
    read = [item for item in originals if isinstance(item, Original)]
    colours = iter(_colours(colouriser, read, sight, output.samples))
    for job, item in zip(jobs, originals, strict=True):
        if isinstance(item, ColourbenchError):
            yield Outcome(job, error=str(item))
        else:
            yield _written(job, item, next(colours), sight, output)


def _colours(
    colouriser: Colouriser, originals: list[Original], sight: Sight, samples: int
) -> list[list[torch.Tensor]]:
    """Of each photograph: ab of each version, at the size that the network sees."""
    sizes = [prediction.small_size(colouriser, item.rgb, sight) for item in originals]
    own_sight = replace(sight, sample=samples > 0)
    colours: list[list[torch.Tensor]] = [[] for _ in originals]
    for size in dict.fromkeys(sizes):
        members = [number for number, own in enumerate(sizes) if own == size]
        small = [prediction.shrunk_lightness(originals[number].rgb, size) for number in members]
        L = torch.cat(small)
        for _ in range(samples or 1):
            ab = prediction.predict(colouriser, L, own_sight)
            for row, number in enumerate(members):
                colours[number].append(ab[row : row + 1])
    return colours


def _written(
    job: Job, original: Original, colours: list[torch.Tensor], sight: Sight, output: Output
) -> Outcome:
    targets = output.targets(job)
    try:
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        for target, ab in zip(targets, colours, strict=True):
            if output.is_done(target, job):
                continue  # a version that an interrupted command has left
            coloured = prediction.join(original.rgb, ab * output.saturation, sight.memory_gb)
            shown = (
                photographs.side_by_side(original.rgb, coloured)
                if output.side_by_side
                else coloured
            )
            photographs.write(
                target,
                np.ascontiguousarray(shown),
                output.kind(job),
                original if output.keeps_metadata else None,
            )
            output.note(target, job)
    except OSError as error:
        return Outcome(
            job, error=f"{job.source}: cannot make {targets[0].parent}: {error.strerror}"
        )
    except ColourbenchError as error:
        return Outcome(job, error=f"{job.source}: {error}")
    except Exception as error:
        # one photograph never ends the others; --debug shows where it came from
        if os.environ.get(DEBUG):
            traceback.print_exc()
        return Outcome(job, error=f"{job.source}: cannot be written: {first_line(error)}")
    return Outcome(job, tuple(targets), original.remarks)

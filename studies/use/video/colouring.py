"""Colourises a video, frame by frame: decoded, coloured, smoothed over time, encoded as H.264, with its own times and sound.

A few frames are in memory at once, whatever the length. PyAV, the extra `video`, reads and writes the files.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from common.errors import ColourbenchError
from common.system.atomic import replacing
from studies.use import photographs, prediction
from studies.use.files import Job, Outcome, Output, reason_to_skip
from studies.use.prediction import Sight
from studies.use.video.flicker import Steady
from variants.players.colouriser import Colouriser

BATCH = 8  # frames that the network sees at once


def colourise_video(colouriser: Colouriser, job: Job, sight: Sight, output: Output) -> Outcome:
    """Colourises a video into an MP4 file; a file that cannot be read or written is an error of its outcome.

    Frames keep their times and upright size; a repeated row or column makes odd sides even, as H.264 needs them. The remarks name
    the flicker before and after smoothing, measured at the network's size, and what became of the sound.
    """
    if output.samples:
        return Outcome(
            job,
            error=f"{job.source}: --samples gives versions of a photograph; a video has one, so leave it out",
        )
    if reason := reason_to_skip(job, output):
        return Outcome(job, error=reason[0], remarks=reason[1:], is_skipped=not reason[0])
    if find_spec("av") is None:
        return Outcome(job, error=f"{job.source}: video needs PyAV: pip install -e '.[video]'")
    [target] = output.targets(job)
    try:
        remarks = _colourise(
            colouriser, job.source, target, replace(sight, memory_gb=output.memory_gb / 2), output
        )
    except ColourbenchError as error:
        return Outcome(job, error=f"{job.source}: {error}")
    except OSError as error:  # of the output: what is wrong with the source is said below
        return Outcome(job, error=f"{job.source}: cannot write {target}: {error.strerror}")
    output.note(target, job)
    return Outcome(job, (target,), remarks)


def _colourise(
    colouriser: Colouriser, path: Path, target: Path, sight: Sight, output: Output
) -> tuple[str, ...]:
    """Writes the coloured video and returns the remarks."""
    # only now, for they need PyAV
    from studies.use.video.reading import (
        Frames,
        look_at,
        open_video,
    )
    from studies.use.video.writing import Sink

    look = look_at(path)
    pixels = look.height * look.width
    if pixels > output.max_pixels:
        raise ColourbenchError(
            f"frames of {look.width}x{look.height} pixels need more memory; raise --max-memory-gb"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    paint = Paint(colouriser, sight, output)
    with (
        open_video(path) as source,
        replacing(target) as file,
        Sink(Path(file.name), source, look, output) as sink,
    ):
        frames = Frames(source, sink)
        shown = iter(frames)
        for batch in iter(lambda: list(islice(shown, min(BATCH, output.max_pixels // pixels))), []):
            for frame, coloured in zip(
                batch, paint([look.upright(frame) for frame in batch]), strict=True
            ):
                sink.picture(frame, coloured)
        sink.finish()
        return (paint.remark, *sink.remarks, *frames.remarks)


class Paint:
    """Colours consecutive frames, and measures how their colours flicker."""

    def __init__(self, colouriser: Colouriser, sight: Sight, output: Output) -> None:
        self._colouriser = colouriser
        self._sight = sight
        self._output = output
        self._steady = Steady()

    def __call__(
        self, frames: list[UInt8[np.ndarray, "h w 3"]]
    ) -> Iterator[UInt8[np.ndarray, "h w2 3"]]:
        """The next frames, of one size, in colour."""
        size = prediction.small_size(self._colouriser, frames[0], self._sight)
        L = torch.cat([prediction.shrunk_lightness(rgb, size) for rgb in frames])
        ab = prediction.predict(self._colouriser, L, self._sight) * self._output.saturation
        for rgb, own_L, own_ab in zip(frames, L.split(1), ab.split(1), strict=True):
            coloured = prediction.join(rgb, self._steady(own_L, own_ab), self._sight.memory_gb)
            yield photographs.side_by_side(rgb, coloured) if self._output.side_by_side else coloured

    @property
    def remark(self) -> str:
        """How the colours flicker."""
        return self._steady.remark

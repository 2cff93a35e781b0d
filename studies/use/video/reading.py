"""Reads a video: how it is shown, its frames in order, and what to do about damage. PyAV, the extra `video`, decodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from jaxtyping import UInt8

from common.errors import ColourbenchError, first_line

# containers; what FFmpeg knows besides are playlists and text
READ = "mov,matroska,avi,mpeg,mpegvideo,mpegts,ogg,asf,flv"


class TakesSound(Protocol):
    """What gets the packets of sound."""

    def sound(self, packet: "av.Packet") -> None:
        """Takes a packet of a sound track."""


@dataclass(frozen=True)
class FilmFormat:
    """How a video is shown, from its first frame: its upright size, quarter turns anticlockwise to it, the shape of a pixel."""

    height: int
    width: int
    turns: int
    aspect: Fraction | None

    def upright(self, frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
        """A frame as it is shown; frames that change their size are brought to the size of the first."""
        height, width = (self.width, self.height) if self.turns % 2 else (self.height, self.width)
        with said("a frame cannot be converted"):
            # more would start anew each time
            rgb = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
        return np.ascontiguousarray(np.rot90(rgb, self.turns)).astype(np.uint8, copy=False)


def look_at(path: Path) -> FilmFormat:
    with open_video(path) as source, said("it is no video that can be decoded"):
        film = film_of(source)
        frame = next(source.decode(film), None)
        if frame is None:
            raise ColourbenchError("none of its frames can be decoded")
        turns = round(frame.rotation / 90) % 4
        size = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
        aspect = film.sample_aspect_ratio or None
        return FilmFormat(*size, turns, 1 / aspect if aspect and turns % 2 else aspect)


def open_video(path: Path) -> "av.container.InputContainer":
    # an absolute path: FFmpeg takes `a:b.mp4` for a protocol
    with said("it is no video that can be read"):
        return av.open(
            str(path.absolute()),
            "r",
            metadata_errors="replace",
            container_options={"format_whitelist": READ},
        )


def film_of(source: "av.container.InputContainer") -> "av.VideoStream":
    """The first video stream that is not a picture of the cover."""
    films = [
        stream
        for stream in source.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not films:
        raise ColourbenchError("it has no video stream")
    return films[0]


class Frames:
    """The frames of a video in the order in which they are shown; packets of sound go to the sink on the way.

    What is damaged is left out, and a file that breaks off ends there; the remarks say so.
    """

    def __init__(self, source: "av.container.InputContainer", sink: TakesSound) -> None:
        self._source = source
        self._sink = sink
        self._film = film_of(source)
        self._film.thread_type = "AUTO"
        self._decoded = 0
        self._is_damaged = _breaks_off(source)

    def __iter__(self) -> Iterator["av.VideoFrame"]:
        try:
            for packet in self._source.demux(self._film, *self._source.streams.audio):
                if packet.stream_index != self._film.index:
                    self._sink.sound(packet)
                    continue
                frames = decoded(packet)
                self._is_damaged |= frames is None or packet.is_corrupt
                self._decoded += len(frames or [])
                yield from frames or []
        except av.error.FFmpegError:
            self._is_damaged = True

    @property
    def remarks(self) -> tuple[str, ...]:
        """Whether something is damaged; MP4 names the number of its frames."""
        of = (
            f"{self._decoded} of {self._film.frames} frames"
            if self._film.frames > self._decoded
            else "not all of it"
        )
        return (f"damaged: {of} could be decoded",) if self._is_damaged else ()


def _breaks_off(source: "av.container.InputContainer") -> bool:
    """Whether the index, for a container that has one, names a packet behind the end of the file."""
    index = film_of(source).index_entries
    return len(index) > 0 and index[-1].pos + index[-1].size > Path(source.name).stat().st_size


def decoded(packet: "av.Packet") -> list | None:
    """The frames of a packet; None if it is damaged."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return None


@contextmanager
def said(what: str) -> Iterator[None]:
    """One sentence for the many types of errors that PyAV raises."""
    try:
        yield
    except ColourbenchError:
        raise
    except Exception as error:
        raise ColourbenchError(
            f"{what}: {getattr(error, 'strerror', None) or first_line(error)}"
        ) from None

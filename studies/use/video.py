"""Colourises a video, frame by frame: decoded, coloured, smoothed over time, encoded as H.264, with its own times and sound.

A few frames are in memory at once, whatever the length. PyAV, the extra `video`, reads and writes the files.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import UInt8

from common.errors import ColourbenchError, first_line
from common.files.atomic import replacing
from studies.use import photographs, prediction
from studies.use.files import Job, Outcome, Output, reason_to_skip
from studies.use.flicker import ColourConsistency, Steady
from studies.use.prediction import Sight
from variants.players.colouriser import Colouriser

try:
    import av
except ImportError:
    HAS_AV = False
else:
    HAS_AV = True

BATCH = 8  # frames that the network sees at once
CRF = "18"  # x264's quality, hardly told from the original
BT709 = LIMITED = 1  # FFmpeg's numbers of the usual colour space, its primaries and transfer, and of its range
READ = "mov,matroska,avi,mpeg,mpegvideo,mpegts,ogg,asf,flv"  # containers; what FFmpeg knows besides are playlists and text
COPIED = ("aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus")  # sound that MP4 holds and players know
LAYOUTS = {1: "mono", 3: "3.0", 5: "5.0", 6: "5.1"}  # of AAC, by the number of channels; others become stereo


def colourise_video(colouriser: Colouriser, job: Job, sight: Sight, output: Output) -> Outcome:
    """Colourises a video into an MP4 file; a file that cannot be read or written is an error of its outcome.

    Frames keep their times and upright size; a repeated row or column makes odd sides even, as H.264 needs them. The remarks name
    the flicker before and after smoothing, measured at the network's size, and what became of the sound.
    """
    if output.samples:
        return Outcome(job, error=f"{job.source}: --samples gives versions of a photograph; a video has one, so leave it out")
    if reason := reason_to_skip(job, output):
        return Outcome(job, error=reason[0], remarks=reason[1:], is_skipped=not reason[0])
    if not HAS_AV:
        return Outcome(job, error=f"{job.source}: video needs PyAV: pip install 'colourbench[video]'")
    [target] = output.targets(job)
    try:
        remarks = _colourise(colouriser, job.source, target, replace(sight, memory_gb=output.memory_gb / 2), output)
    except ColourbenchError as error:
        return Outcome(job, error=f"{job.source}: {error}")
    except OSError as error:  # of the output: what is wrong with the source is said below
        return Outcome(job, error=f"{job.source}: cannot write {target}: {error.strerror}")
    return Outcome(job, (target,), remarks)


def _colourise(colouriser: Colouriser, path: Path, target: Path, sight: Sight, output: Output) -> tuple[str, ...]:
    """Writes the coloured video and returns the remarks."""
    look = _look_at(path)
    pixels = look.height * look.width
    if pixels > output.max_pixels:
        raise ColourbenchError(f"frames of {look.width}x{look.height} pixels need more memory; raise --max-memory-gb")
    target.parent.mkdir(parents=True, exist_ok=True)
    paint = _Paint(colouriser, sight, output)
    with _open(path) as source, replacing(target) as file, _Sink(Path(file.name), source, look, output) as sink:
        frames = _Frames(source, sink)
        shown = iter(frames)
        for batch in iter(lambda: list(islice(shown, min(BATCH, output.max_pixels // pixels))), []):
            for frame, coloured in zip(batch, paint([look.upright(frame) for frame in batch]), strict=True):
                sink.picture(frame, coloured)
        sink.finish()
        return (paint.remark, *sink.remarks, *frames.remarks)


@dataclass(frozen=True)
class _Look:
    """How a video is shown, from its first frame: its upright size, quarter turns anticlockwise to it, the shape of a pixel."""

    height: int
    width: int
    turns: int
    aspect: Fraction | None

    def upright(self, frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
        """A frame as it is shown; frames that change their size are brought to the size of the first."""
        height, width = (self.width, self.height) if self.turns % 2 else (self.height, self.width)
        with _said("a frame cannot be converted"):
            rgb = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)  # more would start anew each time
        return np.ascontiguousarray(np.rot90(rgb, self.turns)).astype(np.uint8, copy=False)


def _look_at(path: Path) -> _Look:
    with _open(path) as source, _said("it is no video that can be decoded"):
        film = _film(source)
        frame = next(source.decode(film), None)
        if frame is None:
            raise ColourbenchError("none of its frames can be decoded")
        turns = round(frame.rotation / 90) % 4
        size = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
        aspect = film.sample_aspect_ratio or None
        return _Look(*size, turns, 1 / aspect if aspect and turns % 2 else aspect)


def _open(path: Path) -> "av.container.InputContainer":
    with _said("it is no video that can be read"):  # an absolute path: FFmpeg takes `a:b.mp4` for a protocol
        return av.open(str(path.absolute()), "r", metadata_errors="replace", container_options={"format_whitelist": READ})


def _film(source: "av.container.InputContainer") -> "av.VideoStream":
    """The first video stream that is not a picture of the cover."""
    films = [stream for stream in source.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
    if not films:
        raise ColourbenchError("it has no video stream")
    return films[0]


@contextmanager
def _said(what: str) -> Iterator[None]:
    """One sentence for the many types of errors that PyAV raises."""
    try:
        yield
    except ColourbenchError:
        raise
    except Exception as error:
        raise ColourbenchError(f"{what}: {getattr(error, 'strerror', None) or first_line(error)}") from None


class _Frames:
    """The frames of a video in the order in which they are shown; packets of sound go to the sink on the way.

    What is damaged is left out, and a file that breaks off ends there; the remarks say so.
    """

    def __init__(self, source: "av.container.InputContainer", sink: "_Sink") -> None:
        self._source, self._sink, self._film = source, sink, _film(source)
        self._film.thread_type = "AUTO"
        self._decoded, self._is_damaged = 0, _breaks_off(source)

    def __iter__(self) -> Iterator["av.VideoFrame"]:
        try:
            for packet in self._source.demux(self._film, *self._source.streams.audio):
                if packet.stream_index != self._film.index:
                    self._sink.sound(packet)
                    continue
                frames = _decoded(packet)
                self._is_damaged |= frames is None or packet.is_corrupt
                self._decoded += len(frames or [])
                yield from frames or []
        except av.error.FFmpegError:
            self._is_damaged = True

    @property
    def remarks(self) -> tuple[str, ...]:
        """Whether something is damaged; MP4 names the number of its frames."""
        of = f"{self._decoded} of {self._film.frames} frames" if self._film.frames > self._decoded else "not all of it"
        return (f"damaged: {of} could be decoded",) if self._is_damaged else ()


def _breaks_off(source: "av.container.InputContainer") -> bool:
    """Whether the index, for a container that has one, names a packet behind the end of the file."""
    index = _film(source).index_entries
    return len(index) > 0 and index[-1].pos + index[-1].size > Path(source.name).stat().st_size


def _decoded(packet: "av.Packet") -> list | None:
    """The frames of a packet; None if it is damaged."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return None


class _Paint:
    """Colours consecutive frames, and measures how their colours flicker."""

    def __init__(self, colouriser: Colouriser, sight: Sight, output: Output) -> None:
        self._colouriser, self._sight, self._output = colouriser, sight, output
        self._steady, self._consistency = Steady(), ColourConsistency()

    def __call__(self, frames: list[UInt8[np.ndarray, "h w 3"]]) -> Iterator[UInt8[np.ndarray, "h w2 3"]]:
        """The next frames, of one size, in colour."""
        size = prediction.small_size(self._colouriser, frames[0], self._sight)
        L = torch.cat([prediction.shrunk_lightness(rgb, size) for rgb in frames])
        ab = prediction.predict(self._colouriser, L, self._sight) * self._output.saturation
        for rgb, own_L, own_ab in zip(frames, L.split(1), ab.split(1), strict=True):
            coloured = prediction.join(rgb, self._steady(own_L, own_ab), self._sight.memory_gb)
            self._consistency.add(coloured)
            yield photographs.side_by_side(rgb, coloured) if self._output.side_by_side else coloured

    @property
    def remark(self) -> str:
        """How the colours flicker."""
        return f"{self._steady.remark}, CDC {self._consistency.value:.4f}"


class _Sink:
    """The MP4 file: pictures become H.264, sound is copied or becomes AAC."""

    def __init__(self, path: Path, source: "av.container.InputContainer", look: _Look, output: Output) -> None:
        film = _film(source)
        self._base = film.time_base or Fraction(1, av.time_base)
        self._rate = film.average_rate or film.guessed_rate or Fraction(25)
        self._last, self._is_avi = -1, source.format.name == "avi"  # AVI knows the order of packets, not of pictures
        self._start = Fraction(max(0, source.start_time or 0), av.time_base)  # some containers count from hours after 0
        with _said(f"cannot write {path.parent}"):
            self._container = av.open(str(path.absolute()), "w", format="mp4", container_options={"movflags": "+faststart"})
            metadata = source.metadata if output.keeps_metadata else {}
            self._container.metadata.update(metadata | {"description": photographs.ABOUT})
            self._film = self._add_film(look, 2 if output.side_by_side else 1)
            self._tracks = {track.index: _Track(track, self._container, self._start) for track in source.streams.audio}
        self._subtitles = len(source.streams.subtitles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(Exception) if raised[0] else _said("cannot write the video"):
            self._container.close()

    def picture(self, source: "av.VideoFrame", rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Encodes a picture with the time of its source."""
        height, width, _ = rgb.shape
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with _said("cannot write the video"):
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
            frame.pts, frame.time_base, frame.duration = self._time(source), self._base, source.duration
            self._container.mux(self._film.encode(frame))

    def sound(self, packet: "av.Packet") -> None:
        """Takes a packet of a sound track."""
        with _said("cannot write the sound"):
            self._tracks[packet.stream_index].take(packet)

    def finish(self) -> None:
        """Encodes what the encoders still hold."""
        with _said("cannot write the video"):
            self._container.mux(self._film.encode(None))
            for track in self._tracks.values():
                track.finish()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What became of the sound and of subtitles."""
        sound = dict.fromkeys(track.remark for track in self._tracks.values()) or ("no audio",)
        return (*sound, *(["subtitles left out"] if self._subtitles else []))

    def _add_film(self, look: _Look, pictures: int) -> "av.VideoStream":
        height, width = look.height + look.height % 2, look.width * pictures + look.width * pictures % 2
        film = self._container.add_stream("libx264", self._rate, {"crf": CRF}, width=width, height=height, time_base=self._base)
        context = film.codec_context
        context.flags |= av.codec.context.Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range, context.sample_aspect_ratio = LIMITED, look.aspect or Fraction(1)
        return film

    def _time(self, frame: "av.VideoFrame") -> int:
        """The time of a frame in the source's ticks, later than that of the one before; without one, it follows at the rate."""
        following = self._last + max(1, round(1 / (self._rate * self._base))) if self._last >= 0 else 0
        own = frame.dts if self._is_avi else frame.pts
        time = following if own is None else own - round(self._start / self._base)
        self._last = max(time, self._last + 1)
        return self._last


class _Track:
    """A track of sound."""

    def __init__(self, source: "av.AudioStream", container: "av.container.OutputContainer", start: Fraction) -> None:
        self._container, self._start = container, start
        name = source.codec_context.codec.canonical_name
        self._is_copied = name in COPIED
        if self._is_copied:
            self._stream, self.remark = container.add_stream_from_template(source), "audio copied"
            return
        layout = LAYOUTS.get(source.channels, "stereo")
        self._stream, self.remark = container.add_stream("aac", source.rate, layout=layout), f"audio re-encoded from {name} to AAC"

    def take(self, packet: "av.Packet") -> None:
        """Copies a packet, or decodes and encodes it."""
        shift = round(self._start / packet.time_base)
        if not self._is_copied:
            for frame in _decoded(packet) or []:
                frame.pts = None if frame.pts is None else frame.pts - shift
                self._container.mux(self._stream.encode(frame))
        elif packet.dts is not None:  # the last packet of a stream is empty and has no time
            packet.pts, packet.dts = (packet.dts if packet.pts is None else packet.pts) - shift, packet.dts - shift
            packet.stream = self._stream
            self._container.mux(packet)

    def finish(self) -> None:
        """Encodes what the encoder still holds."""
        if not self._is_copied:
            self._container.mux(self._stream.encode(None))

"""Writes a video: pictures as H.264 with the times of their source, sound copied or as AAC, in an MP4 file."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from jaxtyping import UInt8

from studies.use import photographs
from studies.use.files import Output
from studies.use.video.reading import FilmFormat, decoded, film_of, said

CRF = "18"  # x264's quality, almost indistinguishable from the original
BT709 = LIMITED = (
    1  # FFmpeg's numbers of the usual colour space, its primaries and transfer, and of its range
)
# sound that MP4 holds and players know
COPIED = (
    "aac",
    "ac3",
    "alac",
    "eac3",
    "flac",
    "mp2",
    "mp3",
    "opus",
)
# of AAC, by the number of channels; others become stereo
LAYOUTS = {
    1: "mono",
    3: "3.0",
    5: "5.0",
    6: "5.1",
}


class Sink:
    """The MP4 file: pictures become H.264, sound is copied or becomes AAC."""

    def __init__(
        self, path: Path, source: "av.container.InputContainer", look: FilmFormat, output: Output
    ) -> None:
        film = film_of(source)
        self._base = film.time_base or Fraction(1, av.time_base)
        self._rate = film.average_rate or film.guessed_rate or Fraction(25)
        self._last = -1
        # AVI knows the order of packets, not of pictures
        self._is_avi = source.format.name == "avi"
        # some containers count from hours after 0
        self._start = Fraction(max(0, source.start_time or 0), av.time_base)
        with said(f"cannot write {path.parent}"):
            self._container = av.open(
                str(path.absolute()),
                "w",
                format="mp4",
                container_options={"movflags": "+faststart"},
            )
            metadata = source.metadata if output.keeps_metadata else {}
            self._container.metadata.update(metadata | {"description": photographs.ABOUT})
            self._film = self._add_film(look, 2 if output.side_by_side else 1)
            self._tracks = {
                track.index: Track(track, self._container, self._start)
                for track in source.streams.audio
            }
        self._subtitles = len(source.streams.subtitles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(Exception) if raised[0] else said("cannot write the video"):
            self._container.close()

    def picture(self, source: "av.VideoFrame", rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Encodes a picture with the time of its source."""
        height, width, _ = rgb.shape
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with said("cannot write the video"):
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
            )
            frame.pts = self._time(source)
            frame.time_base = self._base
            frame.duration = source.duration
            self._container.mux(self._film.encode(frame))

    def sound(self, packet: "av.Packet") -> None:
        """Takes a packet of a sound track."""
        with said("cannot write the sound"):
            self._tracks[packet.stream_index].take(packet)

    def finish(self) -> None:
        """Encodes what the encoders still hold."""
        with said("cannot write the video"):
            self._container.mux(self._film.encode(None))
            for track in self._tracks.values():
                track.finish()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What became of the sound and of subtitles."""
        sound = dict.fromkeys(track.remark for track in self._tracks.values()) or ("no audio",)
        return (*sound, *(["subtitles left out"] if self._subtitles else []))

    def _add_film(self, look: FilmFormat, pictures: int) -> "av.VideoStream":
        height = look.height + look.height % 2
        width = look.width * pictures + look.width * pictures % 2
        film = self._container.add_stream(
            "libx264", self._rate, {"crf": CRF}, width=width, height=height, time_base=self._base
        )
        context = film.codec_context
        context.flags |= av.codec.context.Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.sample_aspect_ratio = look.aspect or Fraction(1)
        return film

    def _time(self, frame: "av.VideoFrame") -> int:
        """The time of a frame in the source's ticks, later than that of the one before; without one, it follows at the rate."""
        following = (
            self._last + max(1, round(1 / (self._rate * self._base))) if self._last >= 0 else 0
        )
        own = frame.dts if self._is_avi else frame.pts
        time = following if own is None else own - round(self._start / self._base)
        self._last = max(time, self._last + 1)
        return self._last


class Track:
    """A track of sound."""

    def __init__(
        self, source: "av.AudioStream", container: "av.container.OutputContainer", start: Fraction
    ) -> None:
        self._container = container
        self._start = start
        name = source.codec_context.codec.canonical_name
        self._is_copied = name in COPIED
        if self._is_copied:
            self._stream = container.add_stream_from_template(source)
            self.remark = "audio copied"
            return
        layout = LAYOUTS.get(source.channels, "stereo")
        self._stream = container.add_stream("aac", source.rate, layout=layout)
        self.remark = f"audio re-encoded from {name} to AAC"

    def take(self, packet: "av.Packet") -> None:
        """Copies a packet, or decodes and encodes it."""
        shift = round(self._start / packet.time_base)
        if not self._is_copied:
            for frame in decoded(packet) or []:
                frame.pts = None if frame.pts is None else frame.pts - shift
                self._container.mux(self._stream.encode(frame))
        elif packet.dts is not None:  # the last packet of a stream is empty and has no time
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - shift
            packet.dts = packet.dts - shift
            packet.stream = self._stream
            self._container.mux(packet)

    def finish(self) -> None:
        """Encodes what the encoder still holds."""
        if not self._is_copied:
            self._container.mux(self._stream.encode(None))

import re
import weakref
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import color
from torch import Tensor

from common.errors import Interrupted
from studies.use import prediction
from studies.use.files import Job, Outcome, Output
from studies.use.prediction import Sight
from studies.use.video import colouring, flicker, reading
from studies.use.video.colouring import colourise_video
from variants.players.colouriser import Colouriser

av = pytest.importorskip("av")

RATE = 48_000
STEADILY = [Fraction(number, 25) for number in range(20)]
UNSTEADILY = [Fraction(number * number + 3 * number, 100) for number in range(14)]


class Flickering(Colouriser):
    """Colours that follow L, and move by so many units from frame to frame."""

    def __init__(self, like: Colouriser, units: float = 3.0, seed: int = 0) -> None:
        super().__init__(like.network, like.engine, like.size, like.test_time)
        self._draw, self._units = torch.Generator().manual_seed(seed), units

    def __call__(
        self, L: Tensor, label: Tensor | None = None, hints: Tensor | None = None
    ) -> Tensor:
        moved = self._units / 110 * torch.randn((len(L), 2, 1, 1), generator=self._draw)
        return torch.cat([0.2 + 0.3 * L, 0.1 - 0.2 * L], dim=1) + moved


def still(
    make_photograph: Callable[..., np.ndarray],
    frames: int,
    size: tuple[int, int] = (48, 64),
    seed: int = 0,
) -> list[np.ndarray]:
    """A grey photograph that stands still, with sensor noise."""
    draw = np.random.default_rng(seed)
    grey = make_photograph(seed, size).mean(axis=2, keepdims=True) * 0.6 + 50
    noisy = [
        np.clip(grey + draw.normal(0, 1.5, grey.shape), 0, 255).astype(np.uint8)
        for _ in range(frames)
    ]
    return [np.repeat(frame, 3, axis=2) for frame in noisy]


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Sequence[Fraction] = STEADILY,
    audio: str = "",
    base: Fraction = Fraction(1, 1000),
    turn: int = 0,
    **options: str,
) -> Path:
    """A video with these frames at these times, stored with a turn, and a tone of 440 Hz."""
    height, width, _ = frames[0].shape
    with av.open(str(path), "w", container_options=options) as file:
        file.metadata["title"] = "A walk"
        codec, pixels = ("ffv1", "yuv444p") if path.suffix == ".mkv" else ("libx264", "yuv420p")
        film = file.add_stream(
            codec,
            25,
            {"crf": "8"} if codec == "libx264" else {},
            width=width,
            height=height,
            time_base=base,
        )
        film.pix_fmt = pixels
        if turn:
            film.set_display_rotation(turn)
        track = file.add_stream(audio, RATE, layout="mono") if audio else None
        for picture, time in zip(frames, times, strict=False):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = int(time / base), base
            file.mux(film.encode(frame))
        file.mux(film.encode(None))
        if track:
            for start in range(0, int(times[len(frames) - 1] * RATE), 1024):
                tone = np.sin(2 * np.pi * 440 * (np.arange(1024) + start) / RATE) * 8000
                sound = av.AudioFrame.from_ndarray(
                    tone.astype(np.int16)[None], format="s16", layout="mono"
                )
                sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
                file.mux(track.encode(sound))
            file.mux(track.encode(None))
    return path


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames (h, w, 3) and their times in seconds."""
    with av.open(str(path)) as file:
        frames = [
            (frame.to_ndarray(format="rgb24", threads=1), frame.time)
            for frame in file.decode(video=0)
        ]
    return [frame for frame, _ in frames], [time for _, time in frames]


def packets(path: Path) -> list[tuple[bytes, float]]:
    """The packets of sound with their times."""
    with av.open(str(path)) as file:
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in file.demux(audio=0)
            if packet.size
        ]


def run(
    colouriser: Colouriser, path: Path, out: Path, sight: Sight | None = None, **options: Any
) -> Outcome:
    return colourise_video(
        colouriser, Job(path, Path(path.stem)), sight or Sight(), Output(out, **options)
    )


def flickers(outcome: Outcome) -> tuple[float, float]:
    """Before and after, from the remarks."""
    match = re.search(r"flicker ([\d.]+) before and ([\d.]+) after", "; ".join(outcome.remarks))
    assert match, outcome
    return float(match[1]), float(match[2])


def lightness(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(color.rgb2lab(rgb)[..., 0])


def chroma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(color.rgb2lab(rgb)[..., 1:], axis=-1))


@pytest.fixture
def short(make_photograph: Callable[..., np.ndarray], tmp_path: Path) -> Path:
    """Twenty frames with sound."""
    (tmp_path / "in").mkdir()
    return write(tmp_path / "in" / "short.mp4", still(make_photograph, 20), audio="aac")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("times", [STEADILY, UNSTEADILY])
def test_frames_keep_their_number_their_times_and_their_lightness(
    suffix: str,
    times: list[Fraction],
    vivid: Colouriser,
    make_photograph: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    photographs = [make_photograph(number // 5, (48, 64)) // 2 + 60 for number in range(len(times))]
    source = write(tmp_path / f"a{suffix}", photographs, times)
    outcome = run(vivid, source, tmp_path / "out")
    assert outcome.written == (tmp_path / "out" / "a.mp4",) and "no audio" in outcome.remarks
    (given, given_times), (coloured, coloured_times) = read(source), read(outcome.written[0])
    assert coloured_times == pytest.approx(given_times, abs=1e-6) == [float(time) for time in times]
    assert len(given) == len(coloured) == len(times)
    apart = [
        np.abs(lightness(one) - lightness(other)).mean()
        for one, other in zip(given, coloured, strict=True)
    ]
    assert max(apart) < 1.5


def test_colours_are_those_of_a_photograph(
    vivid: Colouriser, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flicker, "MOST", 0.0)
    colouriser = Flickering(vivid, units=0.0)
    for saturation in (0.0, 1.0):
        outcome = run(colouriser, short, tmp_path / f"{saturation}", saturation=saturation)
        for given, coloured in zip(read(short)[0], read(outcome.written[0])[0], strict=True):
            alone = color.rgb2lab(prediction.colour(colouriser, given, Sight(), saturation))
            assert np.linalg.norm(color.rgb2lab(coloured) - alone, axis=-1).mean() < 2.0
    assert chroma(coloured).mean() > 15


def test_sound_is_copied_bit_by_bit(vivid: Colouriser, short: Path, tmp_path: Path) -> None:
    outcome = run(vivid, short, tmp_path / "out")
    before, after = packets(short), packets(outcome.written[0])
    assert "audio copied" in outcome.remarks and len(before) > 30
    assert [data for data, _ in before] == [data for data, _ in after]
    assert [time for _, time in before] == pytest.approx([time for _, time in after], abs=1e-4)


def test_sound_that_mp4_does_not_hold_becomes_aac(
    vivid: Colouriser, make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    source = write(tmp_path / "a.mkv", still(make_photograph, 20), audio="pcm_s16le")
    outcome = run(vivid, source, tmp_path / "out")
    assert "audio re-encoded from pcm_s16le to AAC" in outcome.remarks
    with av.open(str(outcome.written[0])) as file:
        assert file.streams.audio[0].codec_context.name == "aac"
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loudest = np.argmax(np.abs(np.fft.rfft(sound))) * RATE / len(sound)
    assert len(sound) / RATE == pytest.approx(0.76, abs=0.05) and loudest == pytest.approx(
        440, abs=3
    )


def test_odd_sides_and_side_by_side(
    vivid: Colouriser, make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    source = write(tmp_path / "a.mkv", still(make_photograph, 3, (49, 67)))
    single, pair = (
        run(Flickering(vivid), source, tmp_path / f"{both}", side_by_side=both).written[0]
        for both in (False, True)
    )
    given, coloured, beside = read(source)[0][0], read(single)[0][0], read(pair)[0][0]
    assert coloured.shape == (50, 68, 3) and beside.shape == (50, 134, 3)
    assert np.abs(lightness(coloured[:49, :67]) - lightness(given)).mean() < 1.5
    assert chroma(beside[:, :64]).mean() < 2 < chroma(beside[:, 70:]).mean()


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_turned_video_comes_out_upright(
    turn: int, vivid: Colouriser, make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    upright = still(make_photograph, 3)[0]
    source = write(
        tmp_path / "a.mp4", [np.ascontiguousarray(np.rot90(upright, -turn // 90))] * 3, turn=turn
    )
    [path] = run(vivid, source, tmp_path / "out").written
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert frame.rotation == 0
        coloured = frame.to_ndarray(format="rgb24", threads=1)
    assert (
        coloured.shape == upright.shape
        and np.abs(lightness(coloured) - lightness(upright)).mean() < 2
    )


@pytest.mark.parametrize("seed", range(3))
def test_smoothing_halves_the_flicker_that_is_seen(
    seed: int,
    vivid: Colouriser,
    make_photograph: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write(tmp_path / "a.mkv", still(make_photograph, 20, seed=seed))

    def seen(name: str) -> tuple[Outcome, float]:
        outcome = run(Flickering(vivid, seed=seed), source, tmp_path / name)
        ab = [color.rgb2lab(frame)[..., 1:] for frame in read(outcome.written[0])[0]]
        return outcome, float(
            np.mean(
                [np.linalg.norm(after - before, axis=-1).mean() for before, after in pairwise(ab)]
            )
        )

    smooth, flicker_smooth = seen("smooth")
    before, after = flickers(smooth)
    assert 2 < before < 12 and after < before / 2
    monkeypatch.setattr(flicker, "MOST", 0.0)
    raw, flicker_raw = seen("raw")
    assert flickers(raw) == (before, before) and flicker_smooth < flicker_raw / 2


def test_what_exists_stays_and_the_source_is_never_replaced(
    vivid: Colouriser, short: Path, tmp_path: Path
) -> None:
    [target] = run(vivid, short, tmp_path / "out").written
    before = target.stat().st_mtime_ns
    again = run(vivid, short, tmp_path / "out")
    assert (
        again.is_skipped and "--force" in again.remarks[0] and target.stat().st_mtime_ns == before
    )
    assert (
        run(vivid, short, tmp_path / "out", force=True).written == (target,)
        and target.stat().st_mtime_ns > before
    )
    data = short.read_bytes()
    assert (
        "would replace" in run(vivid, short, short.parent, force=True).error
        and short.read_bytes() == data
    )


def test_a_video_has_no_samples_and_needs_pyav(
    vivid: Colouriser, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        "--samples gives versions of a photograph"
        in run(vivid, short, tmp_path / "out", samples=2).error
    )
    monkeypatch.setattr(colouring, "find_spec", lambda name: None)
    assert (
        "video needs PyAV: pip install -e '.[video]'" in run(vivid, short, tmp_path / "out").error
    )
    assert not (tmp_path / "out").exists()


def test_broken_files_end_in_one_sentence(vivid: Colouriser, short: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as file:
        track = file.add_stream("aac", RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        file.mux([*track.encode(frame), *track.encode(None)])
    whole = short.read_bytes()
    cases = {
        "text.mp4": b"no video\n" * 40,
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\nother.ts\n",
        "empty.mp4": b"",
        "half.mp4": whole[: len(whole) // 2],  # without the index at its end
        "noise.mkv": np.random.default_rng(0).bytes(5000),
        "sound.mp4": sound.read_bytes(),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        error = run(vivid, tmp_path / name, tmp_path / "out").error
        assert re.fullmatch(rf"{re.escape(str(tmp_path / name))}: (it|none) [^\n]+", error), error
    assert "no video stream" in error and not (tmp_path / "out").exists()
    assert "raise --max-memory-gb" in run(vivid, short, tmp_path / "out", memory_gb=1e-6).error


def test_what_is_left_of_a_broken_file_is_coloured(
    vivid: Colouriser, make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    whole = write(
        tmp_path / "a.mp4", still(make_photograph, 20), movflags="+faststart"
    ).read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    outcome = run(vivid, tmp_path / "a.mp4", tmp_path / "out")
    frames = len(read(outcome.written[0])[0])
    assert 3 < frames < 20 and f"damaged: {frames} of 20 frames could be decoded" in outcome.remarks


@pytest.mark.parametrize(
    "error", [Interrupted("stopped"), KeyboardInterrupt(), RuntimeError("odd")]
)
def test_nothing_is_left_of_a_video_that_was_not_finished(
    error: BaseException,
    vivid: Colouriser,
    short: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [target] = run(vivid, short, tmp_path / "out").written
    whole, calls, predict = target.read_bytes(), iter([False, True]), prediction.predict

    def stops(*given: Any) -> Tensor:
        if next(calls):
            raise error
        return predict(*given)

    monkeypatch.setattr(prediction, "predict", stops)
    with pytest.raises(type(error)):
        run(vivid, short, tmp_path / "out", force=True)
    assert list((tmp_path / "out").iterdir()) == [target] and target.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_an_error(
    vivid: Colouriser, short: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    assert "cannot write" in run(vivid, short, tmp_path / "out").error


def test_metadata_is_kept_or_stripped_and_colours_are_called_a_guess(
    vivid: Colouriser, short: Path, tmp_path: Path
) -> None:
    for keeps in (True, False):
        [path] = run(vivid, short, tmp_path / f"{keeps}", keeps_metadata=keeps).written
        with av.open(str(path)) as file:
            assert (
                file.metadata.get("title") == ("A walk" if keeps else None)
                and "guess" in file.metadata["description"]
            )


def test_a_few_frames_are_in_memory_at_once(
    vivid: Colouriser,
    make_photograph: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []
    upright = reading.FilmFormat.upright

    def watched(self: reading.FilmFormat, frame: Any) -> np.ndarray:
        rgb = upright(self, frame)
        seen.append(weakref.ref(rgb))
        alive.append(sum(reference() is not None for reference in seen))
        return rgb

    monkeypatch.setattr(reading.FilmFormat, "upright", watched)
    source = write(
        tmp_path / "a.mp4",
        still(make_photograph, 60),
        [Fraction(number, 25) for number in range(60)],
    )
    run(Flickering(vivid), source, tmp_path / "out")
    assert len(seen) == 60 and max(alive) <= 2 * colouring.BATCH

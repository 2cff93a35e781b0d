import io
import os
import signal
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from common.data.decoding import images
from common.data.decoding.images import BadImage, decode
from common.errors import Interrupted
from common.system.signals import interrupt_on_signal


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def test_plain_rgb_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels))).rgb, pixels)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    samples = np.array([[0, 2560, 32896, 65535]], dtype=np.uint16)
    assert decode(encoded(Image.fromarray(samples))).rgb[0, :, 0].tolist() == [0, 10, 128, 255]


def test_hidden_colour_under_transparency_does_not_show() -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[..., 0] = 200
    assert (decode(encoded(Image.fromarray(pixels))).rgb == 255).all()


def test_palette_transparency_is_composited_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    assert decode(encoded(image, transparency=0)).rgb[0].tolist() == [[255, 255, 255], [0, 255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :16] = 255  # white in the upper left corner
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(stored, exif=exif)).rgb, upright)


def test_cmyk_jpeg_becomes_rgb() -> None:
    red = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)).rgb[4, 4]
    assert red[0] > 200 and red[1] < 60 and red[2] < 60


def swapped_profile() -> bytes:
    """sRGB in which red and green have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = (
        profile.replace(b"rXYZ", b"gXYZ", 1)
        .replace(b"gXYZ", b"rXYZ", 2)
        .replace(b"rXYZ", b"gXYZ", 1)
    )
    assert swapped != profile
    return swapped


def test_icc_profile_is_applied() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    r, g, _ = decode(encoded(red, icc_profile=swapped_profile())).rgb[0, 0]
    assert r < 30 and g > 225


def test_broken_icc_profile_is_ignored() -> None:
    assert decode(encoded(Image.new("RGB", (4, 4), "red"), icc_profile=b"nonsense")).rgb[
        0, 0
    ].tolist() == [255, 0, 0]


def test_animation_gives_its_first_frame_and_says_so() -> None:
    frames = [Image.new("RGB", (4, 4), name) for name in ("red", "blue")]
    decoded = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.rgb[0, 0].tolist() == [255, 0, 0]
    assert decoded.remarks == ("first frame of an animation",)


def test_bomb_is_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    with pytest.raises(BadImage):
        decode(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


def test_too_many_pixels() -> None:
    with pytest.raises(BadImage, match="25 million"):
        decode(encoded(Image.new("1", (5001, 5000))))


@pytest.mark.parametrize(
    ("data", "reason"), [(b"hello", "not a JPEG"), (b"%PDF-1.7", "not a JPEG")]
)
def test_no_image(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode(data)


@pytest.mark.parametrize("switched_on", [False, True], ids=["as it is", "after WeasyPrint"])
def test_truncated_file_is_refused(switched_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", switched_on)
    data = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)),
        "JPEG",
    )
    with pytest.raises(BadImage, match="broken image"):
        decode(data[: len(data) // 2])


def test_missing_and_empty_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadImage, match="empty"):
        decode(tmp_path / "empty.png")
    with pytest.raises(BadImage, match="cannot read"):
        decode(tmp_path / "missing.png")


GOOD = [
    encoded(Image.new("RGB", (9, 7), "teal"), name)
    for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(GOOD), st.data())
def test_damaged_bytes_give_an_image_or_one_sentence(good: bytes, data: st.DataObject) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        rgb = decode(bytes(damaged)).rgb
    except BadImage as error:
        assert "\n" not in str(error)
    else:
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3


def test_corpora_of_awkward_images(corpora: Path) -> None:
    files = [path for path in corpora.rglob("*") if path.suffix.lower() in images.SUFFIXES]
    refused = []
    for path in files:
        try:
            assert decode(path).rgb.shape[2] == 3
        except BadImage:
            refused.append(path.name)
    assert files
    # PngSuite marks its broken files with an x
    assert all(name.startswith("x") for name in refused), refused


def test_who_stops_the_program_meanwhile_does_not_break_the_photograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever Pillow raises is a broken photograph; a signal may come in the middle of it, and is none."""

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interrupt_on_signal()
    try:
        monkeypatch.setattr(Image, "open", interrupted)
        with pytest.raises(Interrupted, match="SIGTERM"):
            decode(b"")
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.avif", "AVIF"), ("a.jp2", "JPEG2000"), ("a.jfif", "JPEG")]
)
def test_rarer_formats(
    name: str, kind: str, tmp_path: Path, make_photograph: Callable[..., np.ndarray]
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.fromarray(make_photograph(1)).save(tmp_path / name, kind)
    assert images.decode(tmp_path / name).rgb.shape == (80, 96, 3)


def test_heic_names_the_package_that_it_needs(tmp_path: Path) -> None:
    with pytest.raises(images.BadImage, match="HEIC needs the package pillow-heif"):
        images.decode(b"\0\0\0\x18ftypheic" + bytes(100))


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "LA"])
def test_a_profile_is_applied_whatever_the_pixels_are_stored_as(mode: str) -> None:
    """A palette, colours beside transparency and grey look as the same colours do in RGB."""
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    if mode in ("L", "LA"):
        colours[:] = colours[..., :1]
    plain = Image.fromarray(colours)
    stored = plain.quantize(64) if mode == "P" else plain.convert(mode)
    profile = swapped_profile() if mode in ("P", "RGBA") else gamma_profile(1.8)
    found = decode(encoded(stored, icc_profile=profile)).rgb
    if mode in ("P", "RGBA"):
        assert np.abs(found.astype(int) - colours[..., [1, 0, 2]]).max() <= 3
    else:
        assert np.abs(found.astype(int) - as_srgb((colours / 255.0) ** 1.8)).max() <= 2


def test_a_profile_is_applied_to_16_bit_grey() -> None:
    samples = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    found = decode(encoded(Image.fromarray(samples), icc_profile=gamma_profile(1.8))).rgb
    assert np.abs(found[..., 1].astype(int) - as_srgb((samples / 65535.0) ** 1.8)).max() <= 2


def as_srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, as 8 bits."""
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * curve)


def gamma_profile(gamma: float) -> bytes:
    """A grey ICC profile (version 2) with this exponent, made by hand: header, white point, curve (ICC.1:2001)."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3l", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    title = b"desc\0\0\0\0" + struct.pack(">L", 2) + b"g\0" + bytes(79)
    parts = {b"wtpt": white, b"kTRC": curve, b"desc": title + bytes(-len(title) % 4)}
    table, offset = struct.pack(">L", len(parts)), 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        table += name + struct.pack(">LL", offset, len(part))
        offset += len(part)
    head = struct.pack(">L4sL4s4s4s", offset, b"none", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3l", 63190, 65536, 54061)
    return (head + bytes(128 - len(head))) + table + b"".join(parts.values())

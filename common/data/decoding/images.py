"""Decodes one untrusted image file into (H, W, 3) uint8 sRGB, or says in one sentence why not."""

import importlib
import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageFile, ImageOps

from common.errors import ColourbenchError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "HEIF")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".jp2", ".j2k", ".heic", ".heif"),
)  # in lower or upper case
MAX_BYTES = 200 * 2**20
MAX_PIXELS = 25_000_000
SCANS = 16  # of a progressive JPEG with the most pixels: each scan passes over all of them; 10 scans are usual
SCAN = b"\xff\xda"  # marks the start of a scan; within a scan's own data FF is never followed by DA


class BadImage(ColourbenchError):
    """A file that cannot be used as a photograph; the text is one sentence with the reason."""


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph: `rgb` is (H, W, 3) uint8 sRGB, upright; `remarks` say what decoding had to decide."""

    rgb: UInt8[np.ndarray, "h w 3"]
    remarks: tuple[str, ...] = ()


def decode(file: Path | bytes, max_pixels: int = MAX_PIXELS) -> Photograph:
    """Decodes a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000, and HEIC where the package pillow-heif is installed.

    EXIF orientation and ICC profiles are applied, 16-bit grey is scaled, transparency is composited on white, and an
    animation gives its first frame. A file with more than `max_pixels` is refused before it is decoded.

    Raises:
        BadImage: the file cannot be used; the text says why in one sentence.
    """
    data = file if isinstance(file, bytes) else _read(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd metadata that does not matter here
            prepare_pillow()
            with Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                return _convert(image, data.count(SCAN), max_pixels)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("decoding it takes more memory than there is") from None
    except Exception as error:  # Pillow raises a dozen unrelated types on broken files; none may stop a run
        reason = " ".join(str(error).split()) or type(error).__name__
        if "cannot identify image file" in reason:
            raise BadImage(_unknown(data)) from None
        raise BadImage(f"broken image: {reason[:160]}") from None


def prepare_pillow() -> None:
    """Sets what Pillow has for the whole process: its formats, no limit on pixels of its own, and no half-read files."""
    _know_heif()
    Image.MAX_IMAGE_PIXELS = None  # the limit here is another for each caller, and is checked before pixels are decoded
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # WeasyPrint, which writes PDF pages, switches it on


@cache
def _know_heif() -> None:
    """Registers Pillow's own formats, and HEIC where the package pillow-heif is installed, since Pillow cannot read it itself."""
    Image.init()
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def _unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "HEIC needs the package pillow-heif (pip install pillow-heif)"
    return "not a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000 image"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadImage(f"the file is larger than {MAX_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise BadImage(f"cannot read the file: {error.strerror or error}") from None
    if not data:
        raise BadImage("the file is empty")
    return data


def _convert(image: Image.Image, scans: int, max_pixels: int) -> Photograph:
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels are more than {max_pixels / 10**6:.3g} million")
    if image.format in ("JPEG", "MPO") and width * height * scans > SCANS * max_pixels:
        raise BadImage(f"{scans} scans of {width}x{height} pixels would take too long to decode; save it again as a plain JPEG")
    remarks = ["first frame of an animation"] if getattr(image, "n_frames", 1) > 1 else []
    image.load()
    upright = _upright(image)
    if upright.mode in ("I", "F"):
        raise BadImage("32-bit pixels have no agreed scale; save it with 8 or 16 bits")
    rgb = _deep_grey(upright) if upright.mode.startswith("I;16") else _on_white(_to_srgb(upright))
    return Photograph(np.ascontiguousarray(rgb), tuple(remarks))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    except Exception:  # broken EXIF is common, and the pixels are fine
        return image


def _deep_grey(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """16-bit grey, scaled: Pillow's own conversion clips everything above 255."""
    samples = np.asarray(image).astype(np.uint16)
    grey = np.empty(samples.shape, np.uint8)
    for row, values in zip(grey, samples, strict=True):  # row by row: as a whole, float64 would take eight times the memory
        row[:] = np.round(values / 257.0)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = 255
    return np.stack([grey] * 3, axis=-1)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Applies an embedded ICC profile; an unusable profile is ignored, as browsers do."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return converted or image


def _on_white(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Composites transparency on white, so that colours hidden under it do not show."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))

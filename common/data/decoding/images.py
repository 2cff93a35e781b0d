"""Decodes one untrusted image file into (H, W, 3) uint8 sRGB, or says in one sentence why not."""

import importlib
import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageCms, ImageFile, ImageOps

from common.data.decoding import tiffs
from common.errors import ColourbenchError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "HEIF")
# in lower or upper case
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".jp2", ".j2k", ".heic", ".heif"),
)
# the mode in which a profile can be applied to pixels of another: a palette's colours, and those beside transparency
PLAIN = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB", "LA": "L", "1": "L"}
ORIENTATION = 0x0112
MAX_BYTES = 200 * 2**20
MAX_PIXELS = 25_000_000
# of a progressive JPEG with the most pixels: each scan passes over all of them; 10 scans are usual
SCANS = 16
# marks the start of a scan; within a scan's own data FF is never followed by DA
SCAN = b"\xff\xda"


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
            # Pillow warns about odd metadata that does not matter here
            warnings.simplefilter("ignore")
            prepare_pillow()
            with Image.open(
                io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]
            ) as image:
                return _convert(image, data, max_pixels)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("decoding it takes more memory than there is") from None
    except Exception as error:
        # Pillow raises a dozen unrelated types on broken files; none may stop a run
        reason = " ".join(str(error).split()) or type(error).__name__
        if "cannot identify image file" in reason:
            raise BadImage(_unknown(data)) from None
        raise BadImage(f"broken image: {reason[:160]}") from None


def prepare_pillow() -> None:
    """Sets what Pillow has for the whole process: its formats, no limit on pixels of its own, and no half-read files."""
    _know_heif()
    # the limit here is another for each caller, and is checked before pixels are decoded
    Image.MAX_IMAGE_PIXELS = None
    # WeasyPrint, which writes PDF pages, switches it on
    ImageFile.LOAD_TRUNCATED_IMAGES = False


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


def _convert(image: Image.Image, data: bytes, max_pixels: int) -> Photograph:
    remarks = _choose_frame(image)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels are more than {max_pixels / 10**6:.3g} million")
    scans = data.count(SCAN)
    if image.format in ("JPEG", "MPO") and width * height * scans > SCANS * max_pixels:
        raise BadImage(
            f"{scans} scans of {width}x{height} pixels would take too long to decode; save it again as a plain JPEG"
        )
    if image.format == "TIFF" and tiffs.is_misread(image):
        image = _as_image(tiffs.read(data, image), image)
    image.load()
    if image.mode.startswith("I;16"):
        image, more = _full_scale(image)
        remarks += more
    upright = _upright(image)
    if upright.mode in ("I", "F"):
        raise BadImage("32-bit pixels have no agreed scale; save it with 8 or 16 bits")
    if upright.mode == "LAB":
        raise BadImage("its pixels are L*a*b*; save it as RGB or grey")
    srgb = _to_srgb(upright)
    rgb = _deep_grey(srgb) if srgb.mode.startswith("I;16") else _on_white(srgb)
    return Photograph(np.ascontiguousarray(rgb), tuple(remarks))


def _choose_frame(image: Image.Image) -> list[str]:
    """Goes to the frame that is the photograph; returns what there is to say about the others."""
    if image.format == "TIFF":
        return tiffs.main_page(image)
    # an MPO is one photograph, and what a phone adds to it
    is_animated = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    return ["first frame of an animation"] if is_animated else []


def _as_image(samples: UInt16[np.ndarray, "h w ..."], like: Image.Image) -> Image.Image:
    """16-bit samples as an image with the metadata of another: grey stays deep, colours become 8 bits."""
    made = Image.fromarray(samples if samples.ndim == 2 else _eight_bits(samples))
    made.info = dict(like.info)
    made.getexif()[ORIENTATION] = like.getexif().get(ORIENTATION, 1)
    return made


def _full_scale(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """16-bit grey with white at 65535; only a TIFF's may be stored otherwise."""
    samples = np.asarray(image).astype(np.uint16)
    if image.format != "TIFF":
        return image, []
    scaled, remarks = tiffs.full_scale(image, samples)
    return _as_image(scaled, image), remarks


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    except Exception:  # broken EXIF is common, and the pixels are fine
        return image


def _deep_grey(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """16-bit grey, scaled: Pillow's own conversion clips everything above 255."""
    samples = np.asarray(image).astype(np.uint16)
    grey = _eight_bits(samples)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = 255
    return np.stack([grey] * 3, axis=-1)


def _eight_bits(samples: UInt16[np.ndarray, "h ..."]) -> UInt8[np.ndarray, "h ..."]:
    made = np.empty(samples.shape, np.uint8)
    # row by row: as a whole, float64 would take eight times the memory
    for row, values in zip(made, samples, strict=True):
        row[:] = np.round(values / 257.0)
    return made


def _to_srgb(image: Image.Image) -> Image.Image:
    """Applies an embedded ICC profile; an unusable profile is ignored, as browsers do."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    plain = image.convert(PLAIN[image.mode]) if image.mode in PLAIN else image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(plain, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    if converted is None:
        return image
    if image.has_transparency_data and not image.mode.startswith("I;16"):
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


def _on_white(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Composites transparency on white, so that colours hidden under it do not show."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))

"""One photograph from a file and back into one: its pixels, its metadata, whether it is a tinted scan, formats for output."""

import io
import struct
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageCms

from common.colour import lab
from common.data.decoding import images
from common.data.decoding.cutting import small_copy
from common.errors import ColourbenchError, first_line
from common.system.atomic import replacing
from studies.use import prediction

Kind = Literal["grey", "tinted", "colour"]
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
SAVED_AS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {
        "format": "JPEG",
        "quality": 95,
        "subsampling": 0,
    },  # colour at full resolution: it is what this is about
    "webp": {"format": "WEBP", "quality": 95, "exact": True},
    "tiff": {"format": "TIFF", "compression": "tiff_deflate"},
}
SOFTWARE = 0x0131
ORIENTATION = 0x0112  # EXIF tags
LAYOUT = (*range(254, 260), 262, *range(266, 270), 273, *range(277, 282), *range(284, 302), 317, *range(318, 348), 512, 529, 530,
          *range(531, 534), 33723, 34377, 34675)  # fmt: skip  # TIFF's own tags, of how the original's pixels lie in its file
LONGEST_EXIF = 65_000  # bytes; JPEG holds no more
GREY_GB = 0.2  # memory in which a photograph loses its colours
ABOUT = "colourbench: the colours are a computer's guess"
GREY_CHROMA = 4.0  # Lab units; chroma below it is compression and noise
TINT_SCATTER = 3.0  # Lab units that a tinted scan's ab may scatter around a function of L


@dataclass(frozen=True)
class Original:
    """A decoded photograph: `rgb` (h, w, 3) sRGB, its EXIF and resolution where it has them, what kind it is, and remarks."""

    rgb: UInt8[np.ndarray, "h w 3"]
    exif: bytes
    dpi: tuple[float, float] | None
    kind: Kind
    remarks: tuple[str, ...]


def read(path: Path, max_pixels: int) -> Original:
    """Reads a photograph.

    Raises:
        BadImage: it cannot be used; the text says why in one sentence.
    """
    photograph = images.decode(path, max_pixels)
    exif, dpi = _metadata(path)
    kind, remark = kind_of(photograph.rgb)
    return Original(
        photograph.rgb, exif, dpi, kind, (*photograph.remarks, *([remark] if remark else []))
    )


def pixels_of(path: Path) -> int:
    """The number of pixels that a file's header names; 0 if it cannot be read."""
    images.prepare_pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return int(image.width * image.height)
    except Exception:  # Pillow raises many types on broken files; reading it says what is wrong
        return 0


def kind_of(rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[Kind, str]:
    """Whether a photograph is grey, a scan with a tint (ab follow L, as in sepia), or in colour; and what to say about it."""
    small = torch.from_numpy(small_copy(rgb).copy()).permute(2, 0, 1)[None]
    L, *ab = (channel.flatten().double().numpy() for channel in lab.rgb_to_lab(small)[0])
    chroma = np.hypot(*ab)
    if np.quantile(chroma, 0.95) < GREY_CHROMA:
        return "grey", ""
    terms = np.stack([np.ones_like(L), L / 100, (L / 100) ** 2, (L / 100) ** 3], axis=1)
    rest = [values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0] for values in ab]
    if float(np.sqrt(np.mean(np.square(rest)) * 2)) < TINT_SCATTER:
        return "tinted", f"a tint of {chroma.mean():.0f} units of chroma was taken out first"
    return "colour", "it was in colour; its own colours were replaced"


def without_colour(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph's own L alone."""
    return prediction.join(rgb, torch.zeros(1, 2, 1, 1), GREY_GB)


def side_by_side(
    rgb: UInt8[np.ndarray, "h w 3"], coloured: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w2 3"]:
    """The photograph without colour, and coloured, in one picture."""
    return np.ascontiguousarray(np.concatenate([without_colour(rgb), coloured], axis=1))


def write(
    path: Path, rgb: UInt8[np.ndarray, "h w 3"], kind: str, original: Original | None
) -> None:
    """Writes a picture as PNG, JPEG, WebP or TIFF, in sRGB, with the original's metadata if that is given.

    Raises:
        ColourbenchError: the format cannot hold it, the disk is full, or the folder is read-only.
    """
    options = {
        **SAVED_AS[kind],
        "exif": _exif(original.exif if original else b""),
        "icc_profile": _srgb(),
    }
    if original and original.dpi:
        options["dpi"] = original.dpi
    try:
        with replacing(path) as file:
            _save(rgb, file, options)
    except (OSError, ValueError) as error:
        raise ColourbenchError(
            f"cannot write {path}: {first_line(error)}; try another --format or folder"
        ) from None


def _save(rgb: UInt8[np.ndarray, "h w 3"], file: Any, options: dict[str, Any]) -> None:
    """Writes a picture; what the format does not take of odd metadata is left out, first resolution, then all of it."""
    tries = [options, {k: v for k, v in options.items() if k != "dpi"}]
    tries.append(tries[-1] | {"exif": _exif(b"")})
    for number, attempt in enumerate(tries, 1):
        try:
            Image.fromarray(rgb).save(file, **attempt)
            return
        except (RuntimeError, ArithmeticError, TypeError, ValueError, struct.error):
            if number == len(tries):
                raise
            file.seek(0)
            file.truncate()


def encoded(rgb: UInt8[np.ndarray, "h w 3"], kind: str = "png") -> bytes:
    """A picture's file as bytes, without metadata of an original."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, **SAVED_AS[kind], exif=_exif(b""), icc_profile=_srgb())
    return file.getvalue()


def _metadata(path: Path) -> tuple[bytes, tuple[float, float] | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                dpi = image.info.get("dpi")
                return image.getexif().tobytes(), (float(dpi[0]), float(dpi[1])) if dpi else None
    except Exception:  # broken metadata is common; the pixels are what counts
        return b"", None


def _exif(kept: bytes) -> bytes:
    """Metadata for output: upright, with a word about the colours; what was kept is left out if it cannot be written again."""
    for data in (kept, b""):
        exif = Image.Exif()
        try:
            if data:
                exif.load(data)
            for tag in LAYOUT:
                exif.pop(tag, None)
            exif[ORIENTATION] = 1
            exif[SOFTWARE] = ABOUT
            if len(written := exif.tobytes()) <= LONGEST_EXIF:
                return written
        except Exception:  # Pillow raises many types on odd metadata
            continue
    return b""


@cache
def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

"""What Pillow reads wrongly of a TIFF: separate planes, white as zero in 16 bits, data that do not fill 16 bits, previews."""

import io

import numpy as np
import tifffile
from jaxtyping import UInt16
from PIL import Image

SUBFILE = 254  # bit 0: a smaller version of another page
BITS = 258
COMPRESSION = 259
PHOTOMETRIC = 262
LARGEST_SAMPLE = 281
PLANES = 284
UNCOMPRESSED = 1
WHITE_IS_ZERO = 0
SEPARATE = 2
# the largest values of 10, 12 and 14 bits, which scanners and cameras store in 16
FULL_SCALES = {10: 2**10 - 1, 12: 2**12 - 1, 14: 2**14 - 1}


def main_page(image: Image.Image) -> list[str]:
    """Goes to the page that is the photograph: the largest, and of equal ones the first; returns what there is to say.

    Previews (marked as reduced, or less than half as large) are left out without a word.
    """
    sizes = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        is_reduced = _tag(image, SUBFILE, 0) & 1
        sizes.append(0 if is_reduced else image.width * image.height)
    best = max(range(len(sizes)), key=lambda page: (sizes[page], -page))
    image.seek(best)
    full = sum(size >= sizes[best] / 2 for size in sizes)
    return [f"page {best + 1} of {len(sizes)}; the others are left out"] if full > 1 else []


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow tears the page: it reads uncompressed planes as if they were interleaved."""
    is_separate = _tag(image, PLANES, 1) == SEPARATE
    return is_separate and _tag(image, COMPRESSION, 1) == UNCOMPRESSED


def read(data: bytes, image: Image.Image) -> UInt16[np.ndarray, "h w ..."]:
    """Reads such a page: (H, W) or (H, W, 3), scaled to 16 bits.

    Raises:
        ValueError: it holds other samples than whole numbers of 8 or 16 bits.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        samples = file.pages[image.tell()].asarray()
    if samples.ndim == 3 and len(samples) == 3:
        samples = samples.transpose(1, 2, 0)
    if samples.dtype == np.uint8:
        return samples.astype(np.uint16) * np.uint16(257)
    if samples.dtype != np.uint16:
        raise ValueError(f"samples of the kind {samples.dtype} have no agreed scale")
    return samples


def full_scale(
    image: Image.Image, samples: UInt16[np.ndarray, "h w"]
) -> tuple[UInt16[np.ndarray, "h w"], list[str]]:
    """Grey samples with white at 65535, and what there is to say: fewer bits stored in 16 are stretched, white as zero turned."""
    stored = _tag(image, BITS, 1)
    named = _tag(image, LARGEST_SAMPLE, 0)
    largest = int(samples.max())
    is_free = stored == 16 and not named
    remarks = []
    white = 65535
    for bits, value in FULL_SCALES.items():
        if bits == stored or value == named or (is_free and 255 < largest <= value):
            white = value
            remarks = [f"{bits} bits of data in 16, stretched to all of them"]
            break
    if white != 65535:
        samples = np.round(np.minimum(samples, white) * (65535.0 / white)).astype(np.uint16)
    if _tag(image, PHOTOMETRIC, 1) == WHITE_IS_ZERO:
        samples = np.uint16(65535) - samples
    return samples, remarks


def _tag(image: Image.Image, number: int, otherwise: int) -> int:
    value = image.tag_v2.get(number, otherwise)  # type: ignore[attr-defined]
    return int(max(value) if isinstance(value, tuple) else value)

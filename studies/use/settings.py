"""The options of `colourbench colourise`. Quick to import, for the command line."""

import re
from typing import Literal

from pydantic import Field, field_validator

from common.config import Settings

HINT = re.compile(r"\s*(\d+(?:\.\d+)?)%?\s*,\s*(\d+(?:\.\d+)?)%?\s*=\s*(#[0-9a-fA-F]{6})\s*")
Format = Literal["png", "jpeg", "webp", "tiff", "same"]


class ColouriseOptions(Settings):
    """How photographs are colourised and written, one field for each option."""

    samples: int = Field(default=0, ge=0, le=100)
    """Versions of each photograph, with dropout as the noise; 0 gives the one best guess."""
    label: str = ""
    """What the photographs show, for a model trained with labels."""
    hints: tuple[str, ...] = ()
    """A point of known colour, X,Y=#RRGGBB with X and Y in per cent from the top left; for a model trained with hints."""
    format: Format = "png"
    """Format of the results; `same` follows the photograph."""
    saturation: float = Field(default=1.0, ge=0, le=3)
    """Multiplies the strength of the predicted colours."""
    network_side: int | None = Field(default=None, ge=16, le=4096)
    """Pixels of the shorter side at which the network sees photographs; by default the side that it was trained on."""
    side_by_side: bool = False
    """Write grey and coloured beside each other."""
    metadata: Literal["keep", "strip"] = "keep"
    """What happens to a photograph's EXIF data, such as its place, camera and date."""
    max_memory_gb: float = Field(default=2.0, ge=0.1)
    """Memory for photographs and activations; what does not fit is done in tiles."""

    @field_validator("hints")
    @classmethod
    def _are_points(cls, hints: tuple[str, ...]) -> tuple[str, ...]:
        for text in hints:
            match = HINT.fullmatch(text)
            if match is None or float(match[1]) > 100 or float(match[2]) > 100:
                raise ValueError(
                    f"{text!r} is no hint: write X,Y=#RRGGBB with X and Y from 0 to 100 per cent, as in 40,62=#2f5d9b"
                )
        return hints

    @property
    def points(self) -> list[tuple[float, float, str]]:
        """The hints as x and y in [0, 1] and a colour #RRGGBB."""
        matches = [HINT.fullmatch(text) for text in self.hints]
        return [
            (float(match[1]) / 100, float(match[2]) / 100, match[3]) for match in matches if match
        ]

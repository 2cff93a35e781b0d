"""Weights of published networks: where they are stored, how they are verified, and how to get them.

They are stored in torch's own cache (TORCH_HOME, by default ~/.cache/torch), under the names that their publishers gave them.
The eight hexadecimal digits in such a name are the start of the file's SHA-256.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from common.errors import ColourbenchError
from common.system.atomic import replacing
from common.system.integrity import file_sha256

_DIGITS = re.compile(r"-([0-9a-f]{8})\.")


@dataclass(frozen=True)
class Weights:
    """A file of weights under its published name; `address` asks the library that defines it, which takes seconds to import."""

    name: str
    file_name: str
    used_for: str
    licence: str
    address: Callable[[], str]

    @property
    def file(self) -> Path:
        """The path of the file, whether or not it exists."""
        import torch  # takes seconds to import

        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name

    @property
    def digits(self) -> str:
        """The first digits of its SHA-256."""
        match = _DIGITS.search(self.file_name)
        return match[1] if match else ""

    def is_here(self) -> bool:
        """Whether the file exists; `check` verifies its content."""
        return self.file.is_file()

    def check(self) -> Path:
        """Returns the file if it is the published one.

        Raises:
            ColourbenchError: it is missing, or is another file.
        """
        if not self.is_here():
            raise ColourbenchError(f"{self.used_for} need the weights {self.name}: {self.remedy}")
        if not file_sha256(self.file).startswith(self.digits):
            raise ColourbenchError(
                f"{self.file} is not the published file: its SHA-256 does not begin with {self.digits}; {self.remedy}"
            )
        return self.file

    def fetch(self) -> None:
        """Downloads the file; a wrong download leaves nothing behind.

        Raises:
            ColourbenchError: there is no network, or the download is not the published file.
        """
        import torch

        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(self.address(), str(self.file), hash_prefix=self.digits)
        except (URLError, OSError) as error:
            raise ColourbenchError(
                f"cannot download {self.address()}: {error}; get it elsewhere, then {self.remedy}"
            ) from None
        except RuntimeError as error:  # torch's own check of the hash
            raise ColourbenchError(f"{self.address()}: {error}; try again") from None

    def take(self, file: Path) -> None:
        """Copies a file that was obtained elsewhere into the cache.

        Raises:
            ColourbenchError: it is not the published file.
        """
        if not file_sha256(file).startswith(self.digits):
            raise ColourbenchError(
                f"{file} is not {self.name}: its SHA-256 does not begin with {self.digits}"
            )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as target, file.open("rb") as source:
            shutil.copyfileobj(source, target)

    @property
    def remedy(self) -> str:
        """What the user can do to get the file."""
        return f"`colourbench data weights --fetch`, or `--take FILE` with {self.file_name} from {self.address()}"


def _inception() -> str:
    from torch_fidelity import feature_extractor_inceptionv3

    address: Any = feature_extractor_inceptionv3.URL_INCEPTION_V3
    return str(address)


def _alexnet() -> str:
    from torchvision.models import AlexNet_Weights

    return str(AlexNet_Weights.IMAGENET1K_V1.url)


INCEPTION = Weights(
    "FID's Inception v3",
    "weights-inception-2015-12-05-6726825d.pth",
    "FID and KID",
    "Apache 2.0",
    _inception,
)
ALEXNET = Weights(
    "torchvision's AlexNet",
    "alexnet-owt-7be5be79.pth",
    "LPIPS",
    "BSD 3-clause; trained on ImageNet",
    _alexnet,
)
ALL = (ALEXNET, INCEPTION)

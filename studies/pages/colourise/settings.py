"""The limits of the page that colourises photographs."""

from dataclasses import dataclass

from common.errors import ColourbenchError
from studies.pages.serving import EVERYWHERE

LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class ServeSettings:
    """What the page accepts.

    Args:
        max_megapixels: millions of pixels of a photograph.
        max_megabytes: millions of bytes of a photograph's file.
        queue: photographs that may wait while one is coloured.
        rate: photographs that one address may send in a minute.
        hosts: names and addresses under which the page may be asked for.
    """

    max_megapixels: float = 25.0
    max_megabytes: float = 20.0
    queue: int = 8
    rate: int = 120
    hosts: tuple[str, ...] = LOCAL

    def __post_init__(self) -> None:
        """Checks the limits.

        Raises:
            ColourbenchError: one cannot be used; the text names its option.
        """
        _check("--max-megapixels", self.max_megapixels, 0.001, 1000)
        _check("--max-megabytes", self.max_megabytes, 0.001, 1000)
        _check("--queue", self.queue, 0, 1000)
        _check("--rate", self.rate, 1, 1_000_000)
        if wrong := next(
            (
                name
                for name in self.hosts
                if not name or any(letter in name for letter in "/@ \t\r\n")
            ),
            None,
        ):
            raise ColourbenchError(
                f"--name {wrong!r} is no host name: write it without http:// and without a path"
            )

    @property
    def most_pixels(self) -> int:
        """Pixels of a photograph."""
        return int(self.max_megapixels * 10**6)

    @property
    def most_bytes(self) -> int:
        """Bytes of a photograph's file."""
        return int(self.max_megabytes * 10**6)


def hosts_for(host: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names under which a page may be asked for that listens at `host`; any name if it listens everywhere and none is given."""
    if host in EVERYWHERE and not names:
        return ("*",)
    return (f"[{host}]" if ":" in host else host, *names, *LOCAL)


def _check(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ColourbenchError(f"{option} {value:g}: choose {least:g} to {most:g}")

"""How the page runs a study: consent, breaks, and where raters go afterwards."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import ColourbenchError

CONSENT = Path(__file__).with_name("consent.txt")
LONGEST_CONSENT = 20_000  # characters


@dataclass(frozen=True)
class PageSettings:
    """What the page shows beside the trials.

    Args:
        consent: the text that raters agree to.
        completion_url: where a rater goes at the end, such as a recruiting service's page.
        break_every: trials between two breaks.
        most_raters: the page accepts no more.
        hosts: names and addresses under which the page may be asked for.
    """

    consent: str = field(default_factory=lambda: CONSENT.read_text(encoding="utf-8"))
    completion_url: str = ""
    break_every: int = 20
    most_raters: int = 10_000
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ColourbenchError: the consent text or the address cannot be used.
        """
        if not self.consent.strip() or len(self.consent) > LONGEST_CONSENT:
            raise ColourbenchError(f"the consent text must have 1 to {LONGEST_CONSENT} characters")
        address = urlsplit(self.completion_url)
        if self.completion_url and (address.scheme not in ("http", "https") or not address.netloc):
            raise ColourbenchError(f"the completion address {self.completion_url!r} must begin with http:// or https://")

    @property
    def consent_version(self) -> str:
        """SHA-256 of the consent text, which every answer carries."""
        return hashlib.sha256(self.consent.encode()).hexdigest()

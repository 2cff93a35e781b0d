"""How the page runs a study: consent, breaks, and where raters go afterwards."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.errors import ColourbenchError
from common.system import integrity
from common.system.atomic import write_atomically

CONSENT = Path(__file__).with_name("consent.txt")
OPTIONS = "page.json"
KEPT = (
    "consent",
    "completion_url",
    "outcome_urls",
    "most_raters",
    "most_blocks",
    "required_id",
)
# how a rater's part can end beside the usual end; a recruiting service has a completion code for each
OUTCOMES = ("attention", "screened_out", "full", "no_consent")
LONGEST_CONSENT = 20_000  # characters
# parameters by which recruiting services name a rater: Prolific, Mechanical Turk, SONA
KNOWN_IDS = ("PROLIFIC_PID", "workerId", "survey_code")


@dataclass(frozen=True)
class PageSettings:
    """What the page shows beside the trials.

    Args:
        consent: the text that raters agree to.
        completion_url: where a rater goes at the end, such as a recruiting service's page.
        outcome_urls: where a rater goes instead whose attention failed, who is screened out, who finds the study full, or who
            does not consent: outcome -> address.
        break_every: trials between two breaks.
        most_raters: the page accepts no more raters who answer.
        most_blocks: blocks that a rater may do.
        required_id: the parameter of the address that must name a rater; empty: known ones are used where they are there.
        hosts: names and addresses under which the page may be asked for.
    """

    consent: str = field(default_factory=lambda: CONSENT.read_text(encoding="utf-8"))
    completion_url: str = ""
    outcome_urls: Mapping[str, str] = field(default_factory=dict)
    break_every: int = 20
    most_raters: int = 10_000
    most_blocks: int = 1
    required_id: str = ""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ColourbenchError: the consent text or the address cannot be used.
        """
        if not self.consent.strip() or len(self.consent) > LONGEST_CONSENT:
            raise ColourbenchError(f"the consent text must have 1 to {LONGEST_CONSENT} characters")
        if not re.fullmatch(r"\w{0,60}", self.required_id):
            raise ColourbenchError(
                f"--require-id {self.required_id}: give the name of the address' parameter, such as PROLIFIC_PID"
            )
        for outcome in self.outcome_urls:
            if outcome not in OUTCOMES:
                raise ColourbenchError(
                    f"--outcome-url {outcome}=…: the outcomes are {', '.join(OUTCOMES)}"
                )
        for url in (self.completion_url, *self.outcome_urls.values()):
            address = urlsplit(url)
            if url and (address.scheme not in ("http", "https") or not address.netloc):
                raise ColourbenchError(
                    f"the completion address {url!r} must begin with http:// or https://"
                )

    @classmethod
    def of(cls, folder: Path, hosts: tuple[str, ...], **given: Any) -> "PageSettings":
        """A study's settings: what is given now, else what was given before, else the defaults.

        Raises:
            Damaged: what was given before cannot be read.
            ColourbenchError: the consent text or the address cannot be used.
        """
        path = folder / OPTIONS
        remedy = f"remove {path}, and give all options again"
        kept = integrity.read_json(path, remedy) if path.is_file() else {}
        known = {name: value for name, value in kept.items() if name in KEPT}
        new = {name: value for name, value in given.items() if value is not None}
        if "outcome_urls" in new:
            urls = {**known.get("outcome_urls", {}), **new["outcome_urls"]}
            new["outcome_urls"] = {outcome: url for outcome, url in urls.items() if url}
        return cls(**(known | new), hosts=hosts)

    def keep(self, folder: Path) -> None:
        """Writes the options into a study's folder, so that they hold after a restart."""
        content = {name: getattr(self, name) for name in KEPT} | {
            "outcome_urls": dict(self.outcome_urls)
        }
        write_atomically(folder / OPTIONS, json.dumps(content, indent=1).encode())

    def keep_consent(self, folder: Path) -> None:
        """Writes the consent text under its version, which every answer carries."""
        path = folder / "consents" / f"{self.consent_version}.txt"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, self.consent.encode())

    def for_minutes(self, minutes: int) -> "PageSettings":
        """The same settings; where the consent text says `{minutes}`, it says this number."""
        return replace(self, consent=self.consent.replace("{minutes}", str(minutes)))

    @property
    def id_names(self) -> tuple[str, ...]:
        """Parameters of the page's address that may name a rater."""
        return (self.required_id,) if self.required_id else KNOWN_IDS

    @property
    def consent_version(self) -> str:
        """SHA-256 of the consent text, which every answer carries."""
        return hashlib.sha256(self.consent.encode()).hexdigest()

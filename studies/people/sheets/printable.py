"""A printable answer form beside a numbered deck for the screen: printed colours are not to be trusted, printed boxes are.

Both are self-contained HTML beside the rater's pictures. Where WeasyPrint is installed (`[pdf]`), the form is also a PDF.
"""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from analysis.people.design import PROTOCOLS, TestName, Trial
from common.system.atomic import write_atomically

DECK = "deck.html"
FORM = "form.html"


def write(folder: Path, rater: str, code: str, trials: Sequence[Trial], test: TestName) -> None:
    """Writes deck.html, form.html and, where it can, form.pdf into a rater's folder."""
    templates = Environment(
        loader=PackageLoader("studies.people.sheets"),
        autoescape=select_autoescape(["html", "j2"]),
        trim_blocks=True,
    )
    shown = {"rater": rater, "code": code, "protocol": PROTOCOLS[test], "trials": trials}
    for name in (DECK, FORM):
        write_atomically(folder / name, templates.get_template(f"{name}.j2").render(shown).encode())
    _write_pdf(folder / FORM)


def _write_pdf(form: Path) -> None:
    try:
        import weasyprint
    except (ImportError, OSError):  # OSError: the package is there, Pango is not
        return
    weasyprint.HTML(filename=str(form)).write_pdf(str(form.with_suffix(".pdf")))

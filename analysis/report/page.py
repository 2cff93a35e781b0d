"""The building blocks of pages: templates, tables as HTML, embedded images, and the page as PDF."""

import base64
from html import escape
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, Template, select_autoescape
from markupsafe import Markup

from common.errors import ColourbenchError


def template(name: str) -> Template:
    """Loads a template; text is escaped in HTML and left as it is in Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html.j2",), default=False),
        trim_blocks=True,
    )
    return environment.get_template(name)


def embedded(path: Path) -> str:
    """A PNG as a data URL: the page opens without a network and without its folder."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def html_table(frame: pd.DataFrame) -> Markup:
    """A table as HTML; `**text**` becomes bold."""
    bold = frame.map(
        lambda value: (
            f"<strong>{escape(value[2:-2])}</strong>"
            if str(value).startswith("**")
            else escape(str(value))
        )
    )
    return Markup(bold.to_html(index=False, escape=False, border=0))


def write_pdf(html: str, path: Path) -> None:
    """Writes the page as PDF, in its print style.

    Raises:
        ColourbenchError: WeasyPrint, or the library Pango that it needs, is not installed.
    """
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # WeasyPrint loads Pango when it is imported
        raise ColourbenchError(
            f"a PDF needs WeasyPrint and Pango ({' '.join(str(error).split())[:80]}): pip install -e '.[pdf]' and the "
            "system's package of Pango, or print report.html from a browser"
        ) from None
    HTML(string=html).write_pdf(path)

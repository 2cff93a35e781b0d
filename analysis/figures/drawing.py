"""The common style of all figures, and how they are saved."""

from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Figure

STYLE: Any = {
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "svg.hashsalt": "colourbench",
}
DPI = 110
SAFE_COLOURS = 10


def palette(arms: list[str]) -> dict[str, tuple[float, float, float]]:
    """One colour per arm, the same in every figure; safe for colour-blind readers with ten arms or fewer."""
    name = "colorblind" if len(arms) <= SAFE_COLOURS else "husl"
    return dict(zip(arms, sns.color_palette(name, len(arms)), strict=True))


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Writes NAME.png, NAME.svg and NAME.pdf and returns the path of the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.set_dpi(DPI)
    # computes the layout once for all formats; `savefig` would draw twice for each
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure).print_png(folder / f"{name}.png")
    FigureCanvasSVG(figure).print_svg(folder / f"{name}.svg", metadata={"Date": None})
    FigureCanvasPdf(figure).print_pdf(folder / f"{name}.pdf", metadata={"CreationDate": None})
    return folder / f"{name}.png"

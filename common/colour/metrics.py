"""The table of metrics: what is measured of a colourised photograph, what it is called, and which direction is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One row: `direction` is 1 where higher is better, -1 where lower is, and 0 where neither is."""

    title: str
    direction: int
    unit: str = ""
    is_headline: bool = True  # shown in a report's first table
    digits: int = 2
    # of a published network; measured where these are available
    needs_weights: bool = False

    @property
    def label(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def arrow(self) -> str:
        """The label with an arrow in the better direction."""
        return self.label + {1: " ↑", -1: " ↓", 0: ""}[self.direction]


METRICS = {
    "psnr_rgb": Metric("PSNR (RGB)", 1, "dB"),
    "psnr_ab": Metric("PSNR (ab)", 1, "dB"),
    "ssim": Metric("SSIM", 1, digits=3),
    "delta_e": Metric("ΔE₀₀", -1),
    "colourfulness": Metric("colourfulness CF", 0),
    "colourfulness_difference": Metric("mean |ΔCF|", -1),
    "grey_share": Metric("grey pixels", 0, digits=3),
    "ab_distance": Metric("ab distance", -1),
    "chroma": Metric("mean chroma C*", 0, is_headline=False),
    "bleeding": Metric("colour bleeding", 0, is_headline=False),
    "lpips": Metric("LPIPS (AlexNet)", -1, is_headline=False, needs_weights=True),
}
HEADLINE = tuple(name for name, metric in METRICS.items() if metric.is_headline)
# at every validation
MEASURED = tuple(name for name, metric in METRICS.items() if not metric.needs_weights)
# what a sweep or a study can use as its criterion
DECIDING = tuple(name for name in MEASURED if METRICS[name].direction)
SHOWN = ("delta_e", "colourfulness")  # beside a progress bar

"""One study on several data sets: the verdict on each, and the arms ranked over all (Demšar 2006)."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis import tables
from analysis.figures import drawing
from analysis.report import page
from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL
from analysis.statistics.ranks import Ranks, nemenyi, ranks
from analysis.verdicts import verdict as verdicts
from common.colour.metrics import METRICS


def write(
    name: str, question: str, parts: Sequence[Results], pages: Sequence[Path], folder: Path
) -> Path:
    """Writes report.html with tables/ and figures/ below `folder`, and links to the report on each data set.

    Args:
        pages: the reports of the parts, in the same order.
    """
    primary = str(parts[0].settings["primary"])
    means = scores(parts, primary)
    ranking = ranks(means, METRICS[primary].direction)
    readable = _readable(parts, primary, ranking)
    tables.write(means.assign(data_set=means.index), readable, folder / "tables", "ranks")
    drawn = diagram(ranking, METRICS[primary].label)
    picture = drawing.save(drawn, folder / "figures", "ranks") if drawn else None
    html = page.template("several.html.j2").render(
        name=name,
        question=question,
        title=METRICS[primary].label,
        lines=summary(ranking),
        parts=[_part(part, path, folder) for part, path in zip(parts, pages, strict=True)],
        table=page.html_table(readable),
        image=page.embedded(picture) if picture else None,
    )
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def scores(parts: Sequence[Results], metric: str) -> pd.DataFrame:
    """One row per data set, one column per arm that all of them have; baselines are only for reference and are not ranked."""
    rows = {}
    for part in parts:
        shown = [arm for arm in part.arms if arm not in part.baselines]
        rows[part.dataset.name] = {arm: part.scores(metric).one(arm).value for arm in shown}
    return pd.DataFrame.from_dict(rows, orient="index").dropna(axis=1)


def summary(ranking: Ranks) -> list[str]:
    """The ranking in words."""
    best = ranking.average.index[0]
    lines = [
        f"Average ranks over {ranking.data_sets} data sets: "
        + ", ".join(f"{arm} {rank:.2f}" for arm, rank in ranking.average.items())
    ]
    if not math.isfinite(ranking.critical_difference):
        return [*lines, "One data set or one arm gives no ranking"]
    test = f"Friedman's test (Iman and Davenport's F): p {ranking.p:.2g}"
    most = len(ranking.average) - 1
    apart = f"two arms differ where their ranks lie {ranking.critical_difference:.2g} apart, of {most} that are possible"
    worse = [second for first, second in ranking.differing if first == best]
    if worse:
        lines.append(f"{best} ranks better than {', '.join(worse)}; {test}")
    elif ranking.p < LEVEL:
        lines.append(
            f"The arms differ, and no pair of them clearly; {test}; with {ranking.data_sets} data sets {apart}"
        )
    else:
        lines.append(
            f"The arms do not differ clearly; {test}; with {ranking.data_sets} data sets {apart}"
        )
    return lines


def diagram(ranking: Ranks, title: str) -> Figure | None:
    """The critical-difference diagram: a bar joins arms that do not differ clearly."""
    if not math.isfinite(ranking.critical_difference):
        return None
    from scikit_posthocs import critical_difference_diagram

    with mpl.rc_context(drawing.STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(8, 1.2 + 0.3 * len(ranking.average)), layout="constrained")
        axis = figure.subplots()
        critical_difference_diagram(
            ranking.average,
            nemenyi(ranking),
            ax=axis,
            label_fmt_left="{label} {rank:.2f}",
            label_fmt_right="{rank:.2f} {label}",
        )
        axis.set_title(
            f"average rank in {title}; critical difference {ranking.critical_difference:.2f} at {LEVEL:.0%}",
            fontsize=10,
        )
    return figure


def _readable(parts: Sequence[Results], metric: str, ranking: Ranks) -> pd.DataFrame:
    rows = []
    for arm, rank in ranking.average.items():
        cells = {part.dataset.name: _cell(part, metric, str(arm)) for part in parts}
        rows.append({"arm": arm, **cells, "average rank": f"{rank:.2f}"})
    return pd.DataFrame(rows)


def _cell(part: Results, metric: str, arm: str) -> str:
    interval = differences.interval(part.scores(metric), arm)
    return tables.with_half(interval.estimate, (interval.high - interval.low) / 2, 2)


def _part(part: Results, path: Path, folder: Path) -> dict[str, object]:
    answer = verdicts.verdict(part, differences.all_pairs(part.scores(part.settings["primary"])))
    return {"name": part.dataset.name, "lines": answer.lines, "link": os.path.relpath(path, folder)}

"""A methods paragraph for a paper, with all numbers filled in, and its citations as BibTeX."""

import re
from functools import cache
from pathlib import Path

from analysis.results import Results
from analysis.verdicts.verdict import Verdict
from common.colour.metrics import METRICS

_KEY = re.compile(r"\[@([a-z0-9;@ ]+)\]")
_ENTRY = re.compile(r"@\w+\{(\w+),.*?\n\}", re.DOTALL)
METHODS = {  # a variant's name -> its name in print
    "regression": "regression on ab",
    "cgan": "cGAN (pix2pix) [@isola2017image]",
    "wgan_gp": "WGAN-GP [@gulrajani2017improved]",
    "egan": "E-GAN [@wang2019evolutionary]",
}
SOURCES = {  # a metric -> its reference, if it has one
    "delta_e": "@sharma2005ciede2000",
    "ssim": "@wang2004image",
    "colourfulness": "@hasler2003measuring",
    "colourfulness_difference": "@hasler2003measuring",
    "lpips": "@zhang2018unreasonable",
}


def paragraph(results: Results, answer: Verdict) -> str:
    """The paragraph as plain text; `[@key]` cites an entry of `bibtex`."""
    parts = [
        _what(results),
        _data(results),
        _training(results),
        _decision(results, answer),
        _statistics(results, answer),
    ]
    return " ".join([*parts, _outcome(answer)])


def bibtex(text: str) -> str:
    """The BibTeX entries that a text cites, sorted by key."""
    cited = {key.strip(" @") for group in _KEY.findall(text) for key in group.split(";")}
    return "\n\n".join(entry for key, entry in sorted(_entries().items()) if key in cited)


@cache
def _entries() -> dict[str, str]:
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in _ENTRY.finditer(text)}


def _what(results: Results) -> str:
    kinds = dict.fromkeys(run.tags["variant"] for run in results.trained)
    named = [METHODS.get(kind, kind) for kind in kinds]
    arms = list(dict.fromkeys(run.tags["arm"] for run in results.trained))
    others = (
        f", beside what other programs made ({_listed(results.outside)})" if results.outside else ""
    )
    return f"We compared {_count(len(arms), 'arm')} ({_listed(arms)}), trained by {_listed(named)}{others}."


def _data(results: Results) -> str:
    dataset = results.dataset
    sizes = {name: len(dataset.split(name)) for name in ("train", "validation", "test")}
    photographs = results.table["photograph"].nunique()
    side = dataset.config.size
    return (
        f"The data set {dataset.name} ({side} x {side} pixels) was split by photograph into "
        f"{sizes['train']:,} training, {sizes['validation']:,} validation and {sizes['test']:,} test images "
        f"({_count(photographs, 'test photograph')}). Networks saw CIE L (D65) and gave ab; every figure was computed on "
        "8-bit sRGB after that round trip."
    )


def _training(results: Results) -> str:
    seeds = results.table[~results.table["fixed"]].groupby("arm")["seed"].nunique()
    count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    budget = results.settings["budget"]
    rule = results.settings.get("until")
    until = f" Seeds were added to all arms alike until {rule['text']}." if rule else ""
    machines = sorted(
        {
            f"{run.tags.get('processor', '?')} in {run.tags.get('precision', '?')}"
            for run in results.trained
        }
    )
    return (
        f"Each arm was trained with {count} seeds under a budget of {budget['amount']:,.0f} {budget['unit']} a run "
        f"({'; '.join(machines)}); all runs are counted.{until}"
    )


def _decision(results: Results, answer: Verdict) -> str:
    metric = answer.primary
    title = METRICS[answer.primary].label
    cited = f" [{SOURCES[metric]}]" if metric in SOURCES else ""
    when = f" ({answer.fixed})" if answer.fixed else ""
    return f"The primary metric was {title}{cited}, with a margin of {answer.margin:g}{when}; all others are secondary."


def _statistics(results: Results, answer: Verdict) -> str:
    pairs = len(answer.answers)
    baselines = (
        f" The baselines {_listed(results.baselines)} have no seeds." if results.baselines else ""
    )
    return (
        "Seeds and photographs were both taken as random: differences were judged by crossed random effects, seeds nested in arms "
        "and photographs crossed with them, as in studies of several readers and cases [@obuchowski1995hypothesis; "
        "@hillis2007comparison], with Satterthwaite's degrees of freedom [@satterthwaite1946approximate], 95 % intervals, and "
        f"Holm's correction [@holm1979simple] over the {_count(pairs, 'pair')} of arms; equivalence within the margin by two "
        f"one-sided tests [@schuirmann1987comparison].{baselines}"
    )


def _outcome(answer: Verdict) -> str:
    return " ".join(f"{line}." for line in answer.lines)


def _listed(names: list[str]) -> str:
    return (
        names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

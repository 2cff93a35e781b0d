"""The methods paragraph: nothing in it is left to fill in, and all that it cites is there."""

import re

import pytest

from analysis.report import methods


def test_every_citation_has_an_entry_and_only_these_are_given() -> None:
    text = "We used [@holm1979simple] and [@hillis2007comparison; @obuchowski1995hypothesis]."
    keys = re.findall(r"^@\w+\{(\w+),", methods.bibtex(text), re.MULTILINE)
    assert keys == ["hillis2007comparison", "holm1979simple", "obuchowski1995hypothesis"]


def test_entries_are_whole() -> None:
    for key, entry in methods._entries().items():
        assert entry.count("{") == entry.count("}"), key
        assert all(f"  {field} = {{" in entry for field in ("author", "title", "year")), key


def test_all_methods_and_metrics_cite_what_is_there() -> None:
    text = " ".join(methods.METHODS.values()) + "".join(
        f"[{source}]" for source in methods.SOURCES.values()
    )
    cited = set(re.findall(r"@(\w+)", text))
    assert cited <= set(methods._entries())


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), ([], "")],
)
def test_lists_read_as_english(names: list[str], text: str) -> None:
    assert methods._listed(names) == text

"""Anybody's long CSV."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.people import preference
from common.errors import ColourbenchError
from studies.people import imports, results
from studies.people.collection import TIDY

PWCMP = {
    "rater": "observer",
    "image": "scene",
    "arm": "condition_A",
    "other": "condition_B",
    "response": "is_A_selected",
}


def test_a_preference_file_with_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "observer;scene;condition_A;condition_B;is_A_selected\nM1;w;a;b;1\nM1;x;b;a;0\nM2;w;a;b;0\n"
    )
    tidy = imports.read(path, "preference", PWCMP, {"1": "left", "0": "right"}, "tmo")
    assert list(tidy.columns) == list(TIDY) and tidy["response"].tolist() == [
        "left",
        "right",
        "right",
    ]
    assert preference.worths(tidy)["arm"].tolist() == ["a", "b"]
    assert tidy["trial"].tolist() == [1, 2, 1] and set(tidy["kind"]) == {"test"}


def test_sides_are_read_as_answers_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("rater,image,arm,side,response\nr1,i,a,Left,Left\nr2,j,a, RIGHT ,Right\n")
    tidy = imports.read(path, "pair", {}, {}, "s")
    assert tidy["side"].tolist() == ["left", "right"] == tidy["response"].tolist()
    path.write_text("rater,image,arm,side,response\nr1,i,a,middle,left\n")
    with pytest.raises(ColourbenchError, match="row 2: side 'middle'"):
        imports.read(path, "pair", {}, {}, "s")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rater,image,arm\nr,i,a\n", "no column for response; it has rater, image, arm"),
        (
            "rater,image,arm,response\nr,i,a,6\nr,j,a,3\n",
            r"1 rows cannot be used \(rows 2\); answers are 1, 2, 3, 4, 5, and there are 6",
        ),
        ("rater,image,arm,response\nr,,a,3\n", "rows 2"),
        ("", "cannot be read as CSV"),
    ],
)
def test_what_cannot_be_used_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ColourbenchError, match=message):
        imports.read(path, "opinion", {}, {}, "s")


def test_a_published_study(published: Path) -> None:
    path = published / "pwcmp" / "ex3_tmo_cmp_data.csv"
    tidy = imports.read(path, "preference", PWCMP, {"1": "left", "0": "right"}, "tmo")
    tables = results.judge(tidy, "preference")
    assert (
        len(tables["by_arm"]) == 7 and len(tables["pairs"]) == 21 and tidy["rater"].nunique() == 18
    )
    assert len(tidy) == len(pd.read_csv(path))


def test_a_rater_may_be_called_na(tmp_path: Path) -> None:
    file = tmp_path / "na.csv"
    file.write_text("rater,response,image,arm\nNA,real,i1,a\nNA,fake,i2,b\nnull,real,i1,a\n")
    assert imports.read(file, "single", {}, {}, "s")["rater"].tolist() == ["NA", "NA", "null"]


def test_a_header_without_answers_is_said(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("rater,response,image,arm\n")
    with pytest.raises(ColourbenchError, match="no rows below its header"):
        imports.read(file, "single", {}, {}, "s")

"""What raters are handed: blinding, guarded cells, a form that can be printed."""

from collections.abc import Callable

import pytest
from openpyxl import load_workbook
from PIL import Image

from analysis.people.design import PROTOCOLS, RANDOM, TESTS, TRUTH, Design, TestName
from studies.people.pictures import Material
from studies.people.sheets.workbook import CHARACTER, FIRST_ROW
from studies.people.study import RatingStudy

ARMS = ("cgan", "egan", "wgan_gp")


@pytest.mark.parametrize("test", TESTS)
def test_nothing_that_is_handed_out_tells_the_key(
    test: TestName, make_study: Callable[..., RatingStudy], material: Material
) -> None:
    study = make_study(Design(test, 2, 12))
    folder = study.sheets / "rater-01"
    assert {"images", "rater-01.csv", "rater-01.xlsx", "deck.html", "form.html"} <= {
        path.name for path in folder.iterdir()
    }
    book = load_workbook(folder / "rater-01.xlsx")
    told = " ".join(str(cell.value) for row in book["Ratings"].iter_rows() for cell in row)
    told += "".join(
        (folder / name).read_text() for name in ("rater-01.csv", "deck.html", "form.html")
    )
    told += " ".join(path.name for path in (folder / "images").iterdir())
    words = (*ARMS, RANDOM, "vigilance", "repeat", *material.names)
    assert not [word for word in words if word in told] and (TRUTH not in told)
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            assert not image.info
    assert len({path.stat().st_size for path in (folder / "images").iterdir()}) == 1
    assert len({path.stat().st_mtime_ns // 10**12 for path in (folder / "images").iterdir()}) == 1


@pytest.mark.parametrize("test", TESTS)
def test_answer_cells_alone_are_open_and_validated(
    test: TestName, make_study: Callable[..., RatingStudy]
) -> None:
    study = make_study(Design(test, 1, 12))
    sheet = load_workbook(study.sheets / "rater-01" / "rater-01.xlsx")["Ratings"]
    assert sheet.protection.sheet and sheet.freeze_panes == f"A{FIRST_ROW}"
    rows = [row for row in sheet.iter_rows(min_row=FIRST_ROW) if row[3].value]
    assert len(rows) == 12 and all(
        [cell.protection.locked for cell in row] == [True, True, False, True] for row in rows
    )
    [rule] = sheet.data_validations.dataValidation
    assert rule.formula1 == f'"{",".join(PROTOCOLS[test].answers)}"' and "C4" in str(rule.sqref)
    assert len(sheet._images) == 12


@pytest.mark.parametrize("test", TESTS)
def test_a_sheet_is_no_wider_than_a_small_screen(
    test: TestName, make_study: Callable[..., RatingStudy]
) -> None:
    study = make_study(Design(test, 1, 12))
    sheet = load_workbook(study.sheets / "rater-01" / "rater-01.xlsx")["Ratings"]
    assert sum(sheet.column_dimensions[letter].width for letter in "ABCD") * CHARACTER < 1000
    assert (
        max(image.width for image in sheet._images) < sheet.column_dimensions["B"].width * CHARACTER
    )


def test_the_form_has_a_box_for_every_answer_and_the_deck_every_picture(
    make_study: Callable[..., RatingStudy],
) -> None:
    study = make_study(Design("opinion", 1, 12))
    folder = study.sheets / "rater-01"
    form, deck = (folder / "form.html").read_text(), (folder / "deck.html").read_text()
    assert form.count('class="box"') == 12 * 5 and all(
        t.code in form and t.code in deck for t in study.key.trials
    )
    assert "http" not in deck.replace("http-equiv", "") and "http" not in form
    if (folder / "form.pdf").exists():
        assert (folder / "form.pdf").read_bytes().startswith(b"%PDF")

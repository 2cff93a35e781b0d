"""A rater's workbook: pictures in rows, answers from a drop-down list, and nothing else that can be changed."""

import io
from collections.abc import Mapping, Sequence

from openpyxl import Workbook
from openpyxl.drawing.image import Image as SheetImage
from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Alignment, Font, PatternFill, Protection
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from analysis.people.design import PROTOCOLS, TestName, Trial

SHEET = "Ratings"
TITLES = ("trial", "photograph", "answer", "code")
FIRST_ROW = 4
# pixels: a row of a sheet is at most this high, so that a screen holds it; the folder has the full pictures
SHOWN = 256
POINTS = 0.75  # of a pixel
CHARACTER = 7  # pixels of a column's width


def workbook(
    rater: str, code: str, trials: Sequence[Trial], pictures: Mapping[str, bytes], test: TestName
) -> bytes:
    """The content of an XLSX file. The header row stays in sight, and the sheet is as wide as a screen and a page."""
    book = Workbook()
    sheet: Worksheet = book.active
    sheet.title = SHEET
    _write_head(sheet, rater, code, test)
    widest = max(
        _write_trial(sheet, row, trial, pictures[trial.code])
        for row, trial in enumerate(trials, FIRST_ROW)
    )
    widths = {"A": 8, "B": widest / CHARACTER + 2, "C": 16, "D": 20}
    for letter, width in widths.items():
        sheet.column_dimensions[letter].width = width
    _guard_answers(sheet, f"C{FIRST_ROW}:C{FIRST_ROW + len(trials) - 1}", test)
    sheet.freeze_panes = f"A{FIRST_ROW}"
    # when printed: as wide as the page, over as many pages as needed
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    book.properties.creator = "colourbench"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _write_head(sheet: Worksheet, rater: str, code: str, test: TestName) -> None:
    kept = f"withdrawal code {code}: keep it, with it all your answers can be removed"
    sheet["A1"] = f"Rating sheet of {rater}; {kept}"
    sheet["A1"].font = Font(size=11)
    sheet["A2"] = PROTOCOLS[test].question
    sheet["A2"].font = Font(bold=True, size=16)
    sheet.row_dimensions[2].height = 30
    for column, title in enumerate(TITLES, 1):
        sheet.cell(FIRST_ROW - 1, column, title).font = Font(bold=True)


def _write_trial(sheet: Worksheet, row: int, trial: Trial, picture: bytes) -> float:
    """Returns the width of the picture, in pixels."""
    image = SheetImage(io.BytesIO(picture))
    scale = min(1.0, SHOWN / image.height)
    image.width = round(image.width * scale)
    image.height = round(image.height * scale)
    sheet.add_image(image, f"B{row}")
    sheet.row_dimensions[row].height = image.height * POINTS + 8
    sheet.cell(row, 1, trial.trial)
    answer = sheet.cell(row, 3)  # beside its photograph
    sheet.cell(row, 4, trial.code)
    answer.protection = Protection(locked=False)
    answer.font = Font(size=14)
    for column in (1, 3, 4):
        sheet.cell(row, column).alignment = Alignment(horizontal="center", vertical="center")
    return float(image.width)


def _guard_answers(sheet: Worksheet, cells: str, test: TestName) -> None:
    """Restricts input to the answer cells and to valid answers, and marks blank answers in yellow."""
    choices = ",".join(PROTOCOLS[test].answers)
    rule = DataValidation(
        type="list", formula1=f'"{choices}"', allow_blank=True, showErrorMessage=True
    )
    rule.error = f"Choose one of {choices}"
    rule.errorTitle = "Not an answer"
    sheet.add_data_validation(rule)
    rule.add(cells)
    first = cells.partition(":")[0]
    yellow = PatternFill(start_color="FFFFF2AB", end_color="FFFFF2AB", fill_type="solid")
    sheet.conditional_formatting.add(cells, FormulaRule(formula=[f"ISBLANK({first})"], fill=yellow))
    sheet.protection.sheet = True

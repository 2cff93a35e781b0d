"""Blinded rating sheets: an XLSX workbook and a CSV for each rater; the key is stored separately."""

import csv
import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from openpyxl import Workbook, load_workbook
from openpyxl.drawing.image import Image as SheetImage
from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Alignment, Font, PatternFill, Protection
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from PIL import Image

from analysis.ratings.schedule import RANDOM, TRUTH, Design, TestName, Trial, plan
from common.errors import ColourbenchError, first_line
from common.files import integrity
from common.files.atomic import write_atomically
from common.files.integrity import file_sha256

SCHEMA = 2
COMMITMENT = "commitment.txt"
SHOWN = 256  # pixels: all photographs are enlarged in the same way, to at least this size
GAP = 16
FIRST_ROW = 4
ANSWERS: dict[TestName, tuple[str, ...]] = {"pair": ("left", "right"), "opinion": ("1", "2", "3", "4", "5")}
QUESTIONS: dict[TestName, str] = {
    "pair": "One photograph has its real colours, the other was coloured by a computer. Which is real: left or right?",
    "opinion": "How natural are the colours? 1 bad, 2 poor, 3 fair, 4 good, 5 excellent.",
}
Photographs = UInt8[np.ndarray, "n h w 3"]


@dataclass(frozen=True)
class Material:
    """The photographs of a study: names, truth, and what every arm's seeds made of them, in the same order."""

    study: str
    names: list[str]
    truth: Photographs
    arms: dict[str, dict[int, Photographs]]
    fixed: tuple[str, ...] = ()  # arms without seeds: other programs, baselines

    @property
    def seeds(self) -> dict[str, list[int]]:
        """The seeds of every arm."""
        return {arm: list(by_seed) for arm, by_seed in self.arms.items()}


@dataclass(frozen=True)
class Key:
    """The information that the sheets hide from raters."""

    study: str
    design: Design
    arms: dict[str, list[int]]  # with their seeds
    secret: str
    trials: list[Trial]
    fixed: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The content of the key file."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Key":
        """The key from the content of a key file."""
        trials = [Trial(**trial) for trial in found["trials"]]
        arms = found["arms"] if isinstance(found["arms"], dict) else {arm: [0] for arm in found["arms"]}  # schema 1: first seeds
        return cls(found["study"], Design(**found["design"]), arms, found["secret"], trials, tuple(found.get("fixed", ())))


def write(material: Material, design: Design, folder: Path) -> Key:
    """Writes key.json below `folder`, and below `folder/sheets` one folder per rater: a workbook, a CSV and the pictures.

    Each rater gets only their own folder: side by side, two raters' pictures of one photograph would show which half
    never changes. The key's SHA-256 is written beside the sheets before the first answer, so that any later change to the
    key is detected. The folder appears only when it is complete.

    Raises:
        ColourbenchError: the folder already exists (its sheets may have been handed out), or the design does not fit.
    """
    if folder.exists():
        raise ColourbenchError(f"{folder} exists, and its sheets are perhaps in raters' hands; give another --out, or remove it")
    secret = secrets.token_hex(16)
    trials = plan(design, material.names, material.seeds, secret)
    key = Key(material.study, design, material.seeds, secret, trials, material.fixed)
    work = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    (work / "sheets").mkdir(parents=True)
    write_atomically(work / "key.json", key.to_json())
    digest = hashlib.sha256(key.to_json()).hexdigest()
    write_atomically(work / "sheets" / COMMITMENT, f"SHA-256 of the key: {digest}\n".encode())
    for rater in dict.fromkeys(trial.rater for trial in key.trials):
        _write_rater(work / "sheets" / rater, rater, key, material)
    work.replace(folder)
    return key


def _write_rater(folder: Path, rater: str, key: Key, material: Material) -> None:
    trials = [trial for trial in key.trials if trial.rater == rater]
    pictures = {trial.code: _picture(trial, material, key.design) for trial in trials}
    (folder / "images").mkdir(parents=True)
    for code, picture in pictures.items():
        (folder / "images" / f"{code}.png").write_bytes(picture)
    _write_csv(folder / f"{rater}.csv", trials)
    _write_workbook(folder / f"{rater}.xlsx", rater, trials, pictures, key.design.test)


def read_key(folder: Path) -> Key:
    """Reads the key of a folder of sheets.

    Raises:
        ColourbenchError: the key is missing or damaged, or its checksum differs from the one beside the sheets.
    """
    path, promise = folder / "key.json", folder / "sheets" / COMMITMENT
    if not path.is_file():
        raise ColourbenchError(f"there is no {path}; make sheets first with `colourbench ratings sheets`")
    remedy = "without it the sheets cannot be read: put a copy of it back"
    content = integrity.read_json(path, remedy)
    if promise.is_file() and file_sha256(path) not in promise.read_text(encoding="utf-8", errors="replace"):
        raise integrity.Damaged(f"{path} is not the key that {promise} promises; {remedy}")
    try:
        return Key.from_json(content)
    except (KeyError, TypeError) as error:
        raise integrity.Damaged(f"{path} is damaged or of another version: {first_line(error)}; {remedy}") from None


def read_answers(path: Path, key: Key) -> dict[str, str]:
    """The answers in a filled workbook or CSV: trial code -> answer; blank answers are left out.

    Raises:
        ColourbenchError: a wrong answer, a formula, or an unknown trial; the message names the file and row.
    """
    known = {trial.code for trial in key.trials}
    answers: dict[str, str] = {}
    for row, code, answer in _rows_of(path):
        if code not in known:
            raise ColourbenchError(f"{path}, row {row}: the trial {code!r} is not in this study's key")
        if not answer:
            continue
        if answer not in ANSWERS[key.design.test]:
            raise ColourbenchError(
                f"{path}, row {row}: the answer {answer!r} should be one of {', '.join(ANSWERS[key.design.test])}"
            )
        answers[code] = answer
    return answers


def _rows_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yields the row number, trial code and answer of every row of a sheet."""
    try:
        yield from _workbook_rows(path) if path.suffix.lower() == ".xlsx" else _csv_rows(path)
    except ColourbenchError:
        raise
    except Exception as error:  # a damaged workbook can raise any exception, depending on the first broken part
        raise ColourbenchError(f"{path} cannot be read as a rating sheet: {str(error)[:120] or type(error).__name__}") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        sample = file.read(2048)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=";" if sample.count(";") > sample.count(",") else ",")  # Excel in many countries
        for number, row in enumerate(reader, 2):
            if not (row["code"] or "").strip():
                continue  # spreadsheets append empty rows
            yield number, row["code"].strip(), (row["answer"] or "").strip().lower()


def _workbook_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    sheet = load_workbook(path)["Ratings"]
    titles = [cell.value for cell in sheet[FIRST_ROW - 1]]
    code_column, answer_column = titles.index("code"), titles.index("answer")
    for number, row in enumerate(sheet.iter_rows(min_row=FIRST_ROW, max_col=len(titles)), FIRST_ROW):
        code, answer = row[code_column], row[answer_column]
        if code.value is None:
            continue
        if answer.data_type == "f":
            raise ColourbenchError(f"{path}, row {number}: the answer is a formula; type the answer itself")
        value = answer.value
        text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        yield number, str(code.value), text.strip().lower()


def _picture(trial: Trial, material: Material, design: Design) -> bytes:
    """One PNG per trial. A pair is a single picture, so that no file size or name reveals which half is which."""
    position = material.names.index(trial.image)
    truth = _enlarged(material.truth[position])
    if trial.arm == TRUTH:
        rated = truth
    elif trial.arm == RANDOM:
        rated = _enlarged(_random_colours(material.truth, position, trial.code))
    else:
        rated = _enlarged(material.arms[trial.arm][int(trial.seed or 0)][position])
    if design.test == "pair":
        gap = np.full((truth.shape[0], GAP, 3), 255, dtype=np.uint8)
        left, right = (truth, rated) if trial.side == "left" else (rated, truth)
        rated = np.concatenate([left, gap, right], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(rated).save(buffer, format="PNG", compress_level=0)  # equal dimensions give equal size, so it reveals nothing
    return buffer.getvalue()


def _random_colours(truth: Photographs, position: int, code: str) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph's L with the colours of another photograph, turned upside down (Zhang et al. 2016, "random")."""
    import torch

    from common.colour import lab

    draw = np.random.default_rng(int(code, 16))
    other = (position + 1 + int(draw.integers(len(truth) - 1))) % len(truth) if len(truth) > 1 else position
    pair = torch.from_numpy(truth[[position, other]]).permute(0, 3, 1, 2)
    L, ab = lab.to_network(pair)
    mixed = lab.to_photographs(L[:1], ab[1:].flip(2, 3))
    return np.ascontiguousarray(mixed[0].permute(1, 2, 0).numpy())


def _enlarged(photograph: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    image = Image.fromarray(photograph)
    scale = max(1.0, SHOWN / max(image.size))
    return np.asarray(image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS))


def _write_csv(path: Path, trials: Sequence[Trial]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["trial", "code", "picture", "answer"])
    writer.writerows([trial.trial, trial.code, f"images/{trial.code}.png", ""] for trial in trials)
    write_atomically(path, buffer.getvalue().encode())


def _write_workbook(path: Path, rater: str, trials: Sequence[Trial], pictures: dict[str, bytes], test: TestName) -> None:
    book = Workbook()
    sheet: Worksheet = book.active
    sheet.title = "Ratings"
    sheet["A1"], sheet["A2"] = f"Rating sheet of {rater}", QUESTIONS[test]
    sheet["A1"].font, sheet["A2"].font = Font(size=11), Font(bold=True, size=16)
    sheet.row_dimensions[2].height = 30
    for column, (title, width) in enumerate(
        (("trial", 8), ("photograph", 78 if test == "pair" else 40), ("answer", 14), ("code", 16)), 1
    ):
        cell = sheet.cell(FIRST_ROW - 1, column, title)
        cell.font = Font(bold=True)
        sheet.column_dimensions[cell.column_letter].width = width
    for row, trial in enumerate(trials, FIRST_ROW):
        _write_trial(sheet, row, trial, pictures[trial.code])
    _guard_answers(sheet, f"C{FIRST_ROW}:C{FIRST_ROW + len(trials) - 1}", test)
    sheet.freeze_panes = f"A{FIRST_ROW}"
    sheet.page_setup.fitToHeight = 0  # when printed: as wide as the page, over as many pages as needed
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    book.properties.creator = "colourbench"
    buffer = io.BytesIO()
    book.save(buffer)
    write_atomically(path, buffer.getvalue())


def _write_trial(sheet: Worksheet, row: int, trial: Trial, picture: bytes) -> None:
    image = SheetImage(io.BytesIO(picture))
    sheet.add_image(image, f"B{row}")
    sheet.row_dimensions[row].height = image.height * 0.75 + 8  # pixels to points
    sheet.cell(row, 1, trial.trial)
    answer = sheet.cell(row, 3)  # beside its photograph
    sheet.cell(row, 4, trial.code)
    answer.protection = Protection(locked=False)
    answer.font = Font(size=14)
    for column in (1, 3, 4):
        sheet.cell(row, column).alignment = Alignment(horizontal="center", vertical="center")


def _guard_answers(sheet: Worksheet, cells: str, test: TestName) -> None:
    """Restricts input to the answer cells and to valid answers, and marks blank answers in yellow."""
    choices = ",".join(ANSWERS[test])
    rule = DataValidation(type="list", formula1=f'"{choices}"', allow_blank=True, showErrorMessage=True)
    rule.error, rule.errorTitle = f"Choose one of {choices}", "Not an answer"
    sheet.add_data_validation(rule)
    rule.add(cells)
    first = cells.partition(":")[0]
    yellow = PatternFill(start_color="FFFFF2AB", end_color="FFFFF2AB", fill_type="solid")
    sheet.conditional_formatting.add(cells, FormulaRule(formula=[f"ISBLANK({first})"], fill=yellow))
    sheet.protection.sheet = True


def key_summary(key: Key) -> dict[str, Any]:
    """Counts that summarise the key for users."""
    raters = {trial.rater for trial in key.trials}
    return {"raters": len(raters), "trials": len(key.trials), "arms": sorted({trial.arm for trial in key.trials})}

"""Filled sheets: what people and their spreadsheets do to them. Each unusable cell is named and stops no other."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from analysis.people.design import Design, TestName
from common.errors import ColourbenchError
from studies.people.collection import TIDY, collect, filled_sheets, tidy
from studies.people.sheets import reading
from studies.people.sheets.workbook import FIRST_ROW
from studies.people.store import ResponseStore
from studies.people.study import Key, RatingStudy


def score(code: str) -> int:
    return int(code, 16) % 5 + 1


def fill(path: Path, answer: Callable[[str], object]) -> None:
    """Fills a workbook as a person does."""
    book = load_workbook(path)
    for row in book["Ratings"].iter_rows(min_row=FIRST_ROW):
        if row[3].value:
            row[2].value = answer(str(row[3].value))
    book.save(path)


def fill_csv(path: Path, delimiter: str, answer: Callable[[str], object] = score) -> None:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows({**row, "answer": answer(row["code"])} for row in rows)


def test_answers_come_back_from_workbook_and_csv(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 2, 12))
    fill(study.sheets / "rater-01" / "rater-01.xlsx", score)
    fill_csv(study.sheets / "rater-02" / "rater-02.csv", ";")
    collected = collect(study, store, filled_sheets(study))
    assert (collected.new, collected.problems) == (24, [])
    table = tidy(study, store)
    assert len(table) == 24 and list(table.columns) == list(TIDY)
    for row in table.to_dict("records"):
        [trial] = [
            t for t in study.key.trials if (t.rater, t.trial) == (row["rater"], row["trial"])
        ]
        assert (row["image"], row["arm"], row["kind"], row["response"]) == (
            trial.image,
            trial.arm,
            trial.kind,
            str(score(trial.code)),
        )
        assert trial.seed is None or row["seed"] == trial.seed


ENCODINGS = {
    "Windows-1252": lambda text: text.encode("cp1252"),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "semicolons after sep=": lambda text: ("sep=;\r\n" + text.replace(",", ";")).encode(),
}


@pytest.mark.parametrize("how", ENCODINGS)
def test_a_workbook_saved_as_csv_anywhere(
    how: str, make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 1, 12))
    path = study.sheets / "rater-01" / "rater-01.csv"
    fill_csv(path, ",")
    # a note beside the answers, in letters that encodings write differently
    text = path.read_text().replace("rater-01,", "räter,")
    path.write_bytes(ENCODINGS[how](text))
    collected = collect(study, store, [path])
    assert (collected.new, collected.problems) == (12, [])


WRITTEN = {
    "opinion": (("3,0", "3"), ("3.0", "3"), ("3 fair", "3"), ("Fair", "3"), ("5 Excellent", "5")),
    "preference": (("no difference", "equal"), ("Left", "left")),
    "single": (("made by a computer", "fake"), ("Real", "real")),
}


@pytest.mark.parametrize(
    ("test", "typed", "meant"),
    [(test, *pair) for test, pairs in WRITTEN.items() for pair in pairs],
)
def test_answers_in_other_words(
    test: TestName,
    typed: str,
    meant: str,
    make_study: Callable[..., RatingStudy],
    store: ResponseStore,
) -> None:
    study = make_study(Design(test, 1, 12))
    path = study.sheets / "rater-01" / "rater-01.csv"
    fill_csv(path, ",", lambda _: typed)
    assert collect(study, store, [path]).problems == []
    assert set(tidy(study, store)["response"]) == {meant}


def test_a_corrected_sheet_replaces_the_first_where_that_is_asked(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 1, 12))
    path = study.sheets / "rater-01" / "rater-01.csv"
    fill_csv(path, ",", lambda _: 2)
    collect(study, store, [path])
    fill_csv(path, ",", lambda _: 4)
    refused = collect(study, store, [path])
    assert len(refused.problems) == 12 and "--replace" in refused.problems[0]
    corrected = collect(study, store, [path], replace=True)
    assert (corrected.corrected, corrected.problems) == (12, [])
    assert set(tidy(study, store)["response"]) == {"4"}


def test_collecting_twice_changes_nothing(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 2, 12))
    fill(study.sheets / "rater-01" / "rater-01.xlsx", score)
    first = collect(study, store, filled_sheets(study))
    before = store.table()
    second = collect(study, store, filled_sheets(study))
    assert (first.new, second.new, second.known) == (12, 0, 12)
    assert store.table().equals(before)


def test_a_files_name_is_not_kept(
    make_study: Callable[..., RatingStudy], store: ResponseStore, tmp_path: Path
) -> None:
    study = make_study(Design("opinion", 1, 12))
    fill_csv(study.sheets / "rater-01" / "rater-01.csv", ",")
    named = (study.sheets / "rater-01" / "rater-01.csv").rename(tmp_path / "rater-01 Jane Doe.csv")
    collect(study, store, [named])
    assert "Jane" not in tidy(study, store).to_csv()


def test_a_sheet_of_somebody_who_withdrew_stays_out(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 1, 12))
    fill_csv(study.sheets / "rater-01" / "rater-01.csv", ",")
    store.withdraw("rater-01", study.keyed("rater-01"))  # before the sheet came
    collected = collect(study, store, filled_sheets(study))
    assert collected.new == 0 and "has withdrawn" in collected.problems[0]


def test_each_unusable_cell_is_named_and_the_others_count(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("pair", 1, 12))
    path = study.sheets / "rater-01" / "rater-01.xlsx"
    codes = [trial.code for trial in study.key.trials]
    answers = dict.fromkeys(codes, "left") | {
        codes[0]: "both",
        codes[1]: '=IF(TRUE,"left","")',
        codes[2]: None,
        codes[3]: " LEFT ",
    }
    fill(path, lambda code: answers[code])
    collected = collect(study, store, [path])
    assert (collected.new, collected.blank) == (9, 1)
    both, formula = collected.problems
    assert (
        "cell C4: the answer 'both' should be one of left, right" in both
        and "cell C5: the answer is a formula" in formula
    )


def test_an_ods_with_formulas_is_refused(
    make_study: Callable[..., RatingStudy], store: ResponseStore, tmp_path: Path
) -> None:
    import zipfile

    study = make_study(Design("pair", 1, 12))
    path = tmp_path / "filled.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", '<table:table-cell table:formula="of:=1"/>')
    [problem] = collect(study, store, [path]).problems
    assert "formula" in problem


def test_a_sheet_of_another_study_is_named(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study, other = (
        make_study(Design("opinion", 1, 12)),
        make_study(Design("opinion", 1, 12), "second"),
    )
    fill_csv(other.sheets / "rater-01" / "rater-01.csv", ",")
    fill_csv(study.sheets / "rater-01" / "rater-01.csv", ",")
    files = [other.sheets / "rater-01" / "rater-01.csv", study.sheets / "rater-01" / "rater-01.csv"]
    collected = collect(study, store, files)
    assert collected.new == 12 and [
        "is a sheet of another study" in p for p in collected.problems
    ] == [True]


def test_contradictions_are_named_and_the_first_counts(
    make_study: Callable[..., RatingStudy], store: ResponseStore
) -> None:
    study = make_study(Design("opinion", 1, 12))
    fill_csv(study.sheets / "rater-01" / "rater-01.csv", ",")
    fill(study.sheets / "rater-01" / "rater-01.xlsx", lambda code: score(code) % 5 + 1)
    files = [study.sheets / "rater-01" / name for name in ("rater-01.csv", "rater-01.xlsx")]
    collected = collect(study, store, files)
    assert (
        collected.new == 12
        and len(collected.problems) == 12
        and "the first one counts" in collected.problems[0]
    )
    assert tidy(study, store)["response"].tolist() == [str(score(t.code)) for t in study.key.trials]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"trial,code,picture\n1,f00,x\n", "has no column answer"),
        (b"", "has no column code and no column answer"),
        (b"trial;code;reply\n1;f00;3\n", "do not rename or remove it"),
        (b"code,answer\n\xff\xfe,3\n", "of another study"),
    ],
)
def test_sheets_that_are_none(
    content: bytes, message: str, make_study: Callable[..., RatingStudy], tmp_path: Path
) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(content)
    with pytest.raises(ColourbenchError, match=message):
        reading.read(path, make_study(Design("opinion", 1, 12)).key)
    (tmp_path / "sheet.xlsx").write_bytes(b"PK nonsense")
    with pytest.raises(ColourbenchError, match="cannot be read as a rating sheet"):
        reading.read(tmp_path / "sheet.xlsx", make_study(Design("opinion", 1, 12), "again").key)
    with pytest.raises(ColourbenchError, match="is no sheet"):
        reading.read(tmp_path / "sheet.pdf", RatingStudy(tmp_path / "ratings").key)


KEY = Key("s", Design("opinion", 1, 4), {"a": [0]}, "x", [], (), ())


@given(
    st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
    st.sampled_from([".csv", ".xlsx", ".ods"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_file_is_a_traceback(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    try:
        reading.read(path, KEY)
    except ColourbenchError as error:
        assert str(path) in str(error)


@pytest.mark.integration
@pytest.mark.parametrize("suffix", ["ods", "xlsx"])
def test_through_libreoffice_and_back(
    suffix: str, make_study: Callable[..., RatingStudy], store: ResponseStore, tmp_path: Path
) -> None:
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if not office:
        pytest.skip("LibreOffice is not installed (Debian: libreoffice-calc-nogui)")
    study = make_study(Design("opinion", 1, 12))
    path = study.sheets / "rater-01" / "rater-01.xlsx"
    fill(path, partial(lambda code: float(score(code))))
    home = f"-env:UserInstallation=file://{tmp_path}/office"
    command = [
        office,
        home,
        "--headless",
        "--convert-to",
        suffix,
        "--outdir",
        str(tmp_path / "out"),
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    collected = collect(study, store, [tmp_path / "out" / f"rater-01.{suffix}"])
    assert (collected.new, collected.problems) == (12, [])
    assert tidy(study, store)["response"].tolist() == [str(score(t.code)) for t in study.key.trials]

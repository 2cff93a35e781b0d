"""A study's folder: the key, its promise, and the runs that it shows."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.people.design import Design
from common.errors import ColourbenchError
from studies.people.pictures import Material
from studies.people.study import SCHEMA, RatingStudy, material, read_key

ARMS = ["cgan", "egan", "wgan_gp"]


def test_the_key_is_promised_before_the_first_answer(
    make_study: Callable[..., RatingStudy],
) -> None:
    study = make_study(Design("pair", 2, 12))
    digest = hashlib.sha256((study.folder / "key.json").read_bytes()).hexdigest()
    assert digest in (study.sheets / "commitment.txt").read_text()
    assert read_key(study.folder) == study.key
    assert json.loads((study.folder / "key.json").read_bytes())["schema"] == SCHEMA
    (study.folder / "key.json").write_bytes((study.folder / "key.json").read_bytes() + b" ")
    with pytest.raises(ColourbenchError, match="not the key that"):
        RatingStudy(study.folder)


def test_a_key_of_another_version_is_refused(make_study: Callable[..., RatingStudy]) -> None:
    study = make_study(Design("pair", 1, 12))
    (study.sheets / "commitment.txt").unlink()
    old = json.loads(study.key.to_json()) | {"schema": SCHEMA - 1}
    (study.folder / "key.json").write_text(json.dumps(old))
    with pytest.raises(ColourbenchError, match="of another version: schema"):
        read_key(study.folder)


def test_the_key_names_the_runs_that_raters_see(material: Material, tmp_path: Path) -> None:
    shown = dataclasses.replace(material, runs={"cgan": {0: "a" * 32}})
    key = RatingStudy.create(shown, Design("pair", 1, 12), tmp_path / "shown").key
    assert key == read_key(tmp_path / "shown")
    assert key.shown_runs.to_dict("records") == [{"arm": "cgan", "seed": 0, "run": "a" * 32}]


def test_a_study_is_not_overwritten(make_study: Callable[..., RatingStudy]) -> None:
    make_study(Design("pair", 1, 12))
    with pytest.raises(ColourbenchError, match="raters' hands"):
        make_study(Design("pair", 2, 12))


def test_withdrawal_codes_are_the_studys_own(make_study: Callable[..., RatingStudy]) -> None:
    one, other = make_study(Design("pair", 1, 12)), make_study(Design("pair", 1, 12), "second")
    codes = {study.key.withdrawal_code(rater) for study in (one, other) for rater in ("r1", "r2")}
    assert len(codes) == 4 and all(len(code) == 12 for code in codes)
    assert RatingStudy(one.folder).key.withdrawal_code("r1") == one.key.withdrawal_code("r1")


def test_an_arm_that_the_study_lacks_is_named() -> None:
    compared: Any = SimpleNamespace(name="fair", arms=["grey", "cgan"])
    with pytest.raises(ColourbenchError, match="fair has no arm egan; its arms are grey, cgan"):
        material(compared, ["cgan", "egan"])


def test_only_the_owner_may_read_the_key(make_study: Callable[..., RatingStudy]) -> None:
    study = make_study(Design("pair", 1, 12))
    assert (study.folder / "key.json").stat().st_mode & 0o777 == 0o600

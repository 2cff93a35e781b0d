"""A study's folder: the key, its promise, and keys of earlier versions."""

import hashlib
import json
from collections.abc import Callable

import pytest

from analysis.ratings.design import Design
from analysis.ratings.study import SCHEMA, RatingStudy, read_key
from common.errors import ColourbenchError

ARMS = ["cgan", "egan", "wgan_gp"]


def test_the_key_is_promised_before_the_first_answer(make_study: Callable[..., RatingStudy]) -> None:
    study = make_study(Design("pair", 2, 12))
    digest = hashlib.sha256((study.folder / "key.json").read_bytes()).hexdigest()
    assert digest in (study.sheets / "commitment.txt").read_text()
    assert read_key(study.folder) == study.key
    assert json.loads((study.folder / "key.json").read_bytes())["schema"] == SCHEMA
    (study.folder / "key.json").write_bytes((study.folder / "key.json").read_bytes() + b" ")
    with pytest.raises(ColourbenchError, match="not the key that"):
        RatingStudy(study.folder)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_key_of_an_earlier_version_is_read(schema: int, make_study: Callable[..., RatingStudy]) -> None:
    study = make_study(Design("pair", 1, 12))
    (study.sheets / "commitment.txt").unlink()
    old = json.loads(study.key.to_json()) | {"schema": schema}
    del old["images"]
    later = ("block", "other", "other_seed") + (("seed",) if schema == 1 else ())
    old["trials"] = [{name: value for name, value in trial.items() if name not in later} for trial in old["trials"]]
    old["design"] = {name: old["design"][name] for name in ("test", "raters", "trials", "seed")}
    if schema == 1:
        old["arms"] = ARMS
    (study.folder / "key.json").write_text(json.dumps(old))
    key = read_key(study.folder)
    assert key.arms == ({arm: [0] for arm in ARMS} if schema == 1 else study.key.arms)
    assert {t.seed for t in key.trials} == ({None} if schema == 1 else {t.seed for t in study.key.trials})
    assert set(key.images) == {t.image for t in study.key.trials}


def test_a_study_is_not_overwritten(make_study: Callable[..., RatingStudy]) -> None:
    make_study(Design("pair", 1, 12))
    with pytest.raises(ColourbenchError, match="raters' hands"):
        make_study(Design("pair", 2, 12))


def test_withdrawal_codes_are_the_studys_own(make_study: Callable[..., RatingStudy]) -> None:
    one, other = make_study(Design("pair", 1, 12)), make_study(Design("pair", 1, 12), "second")
    codes = {study.key.withdrawal_code(rater) for study in (one, other) for rater in ("r1", "r2")}
    assert len(codes) == 4 and all(len(code) == 12 for code in codes)
    assert RatingStudy(one.folder).key.withdrawal_code("r1") == one.key.withdrawal_code("r1")

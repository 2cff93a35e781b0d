from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from common import config
from common.config import Settings, read_yaml
from common.errors import ColourbenchError


class Inner(Settings):
    """Inner."""

    rate: float = Field(default=0.1, gt=0, le=1)
    """A rate."""
    kind: Literal["a", "b"] = "a"
    """A kind."""


class Outer(Settings):
    """Outer."""

    inner: Inner = Inner(rate=0.5, kind="b")
    """The inner one."""
    sizes: tuple[int, ...] = (1, 2)
    """Sizes."""
    name: str
    """A name."""


def message(data: dict[str, object]) -> str:
    with pytest.raises(ColourbenchError) as error:
        config.parse(Outer, data, "file.yaml")
    return str(error.value)


def test_a_nested_field_keeps_its_neighbours() -> None:
    assert config.parse(Outer, {"name": "n", "inner": {"rate": 0.2}}).inner == Inner(
        rate=0.2, kind="b"
    )


def test_yaml_list_is_a_tuple_and_integer_is_a_float() -> None:
    outer = config.parse(Outer, {"name": "n", "sizes": [3], "inner": {"rate": 1}})
    assert outer.sizes == (3,) and outer.inner.rate == 1.0


def test_unknown_field_names_the_nearest() -> None:
    assert (
        message({"name": "n", "inner": {"rte": 0.1}})
        == "file.yaml: inner.rte is not a known field; did you mean inner.rate?"
    )
    assert (
        message({"name": "n", "rate": 0.1})
        == "file.yaml: rate is not a known field; did you mean inner.rate?"
    )


def test_out_of_range_and_missing_are_one_line_each() -> None:
    lines = message({"inner": {"rate": 2.0}}).splitlines()
    assert lines == [
        "file.yaml: inner.rate: input should be less than or equal to 1 (given: 2.0)",
        "file.yaml: name is missing",
    ]


def test_strictness() -> None:
    assert "sizes" in message({"name": "n", "sizes": ["1"]})
    assert "name" in message({"name": 3})


def test_override() -> None:
    before = {"inner": {"rate": 0.1}}
    after = config.override(before, ["inner.rate=1e-4", "sizes=[4, 5]", "name=x y"])
    assert after == {"inner": {"rate": 1e-4}, "sizes": [4, 5], "name": "x y"}
    assert before == {"inner": {"rate": 0.1}}


@pytest.mark.parametrize("wrong", ["rate", "=3", "a..b=3", "inner.rate.deep=1"])
def test_wrong_override(wrong: str) -> None:
    with pytest.raises(ColourbenchError, match="--set"):
        config.override({"inner": {"rate": 0.1}}, [wrong])


def test_yaml_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(ColourbenchError, match=r"x\.yaml is not valid YAML, line 3"):
        config.read_yaml_file(path)
    path.write_text("just text")
    with pytest.raises(ColourbenchError, match="should hold fields"):
        config.read_yaml_file(path)
    with pytest.raises(ColourbenchError, match="there is no file"):
        config.read_yaml_file(tmp_path / "none.yaml")


def test_explained_fields_are_yaml_that_gives_the_same_settings() -> None:
    settings = Outer(name="n")
    text = config.explain_fields(settings)
    assert "# > 0, ≤ 1; A rate." in text and "a | b" in text
    assert config.parse(Outer, config.read_yaml(text, "text")) == settings


def test_hash_ignores_the_order_of_keys() -> None:
    assert config.sha256({"a": 1, "b": 2}) == config.sha256({"b": 2, "a": 1})
    assert config.sha256({"a": 1}) != config.sha256({"a": 2})


def test_flatten_and_merge() -> None:
    assert config.flatten({"a": {"b": 1}, "c": 2}) == {"a.b": 1, "c": 2}
    assert config.merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(
        ColourbenchError,
        match=r"study.yaml is not valid YAML, line 3, column 3: 'cgan' stands twice",
    ):
        read_yaml("arms:\n  cgan: {a: 1}\n  cgan: {a: 2}\n", "study.yaml")
    assert read_yaml("base: &b {a: 1}\nother: {<<: *b, c: 2}", "x")["other"] == {"a": 1, "c": 2}


def test_words_stay_words() -> None:
    assert read_yaml("{on: 1, off: 2, yes: 3, no: [true, False, on]}", "x") == {
        "on": 1,
        "off": 2,
        "yes": 3,
        "no": [True, False, "on"],
    }

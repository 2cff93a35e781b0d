"""Exported files say nothing of the machine that wrote them, and everything that a reader needs."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from studies.use.export import formats
from studies.use.models import Model

ROOT = Path(__file__).resolve().parents[4]
PLACES = (str(ROOT).encode(), b"site-packages", b"variants/", b"common/networks", b'File "', b".py")


def parts_of(path: Path) -> dict[str, bytes]:
    """The contents of a file; of a torch program, which is an archive, those of its members."""
    if not zipfile.is_zipfile(path):
        return {path.name: path.read_bytes()}
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_no_path_and_no_source_line_is_left(
    kind: str, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    path, _ = formats.write(make_model(), kind, tmp_path)
    for name, content in parts_of(path).items():
        found = [place for place in PLACES if place in content]
        assert not found, (name, found)


def test_an_onnx_file_explains_itself(make_model: Callable[..., Any], tmp_path: Path) -> None:
    path, _ = formats.write(make_model(hints=True, labels=("cat", "dog")), "onnx", tmp_path)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert axes == {
        "L": ["batch", 1, "height", "width"],
        "hints": ["batch", 3, "height", "width"],
        "label": ["batch"],
        "ab": ["batch", 2, "height", "width"],
    }
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert "L* / 50 - 1" in told["input L"] and "/ 110" in told["output ab"]
    assert json.loads(told["labels"]) == ["cat", "dog"]
    assert json.loads(told["settings"])["variant"]["name"] == "regression"
    assert told["method"] == "regression" and told["trained at"] == "32 pixels"


def test_onnxruntime_1_18_can_read_it(make_model: Callable[..., Any], tmp_path: Path) -> None:
    """It knows the formats up to IR 10 and opset 21 (onnxruntime's table of compatibility)."""
    path, _ = formats.write(make_model(), "onnx", tmp_path)
    proto = onnx.load(path)
    assert proto.ir_version <= 10
    assert {one.domain: one.version for one in proto.opset_import}[""] <= 21

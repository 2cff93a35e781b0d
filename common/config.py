"""Strict settings: read from YAML and `a.b=v`, written as JSON; each mistake is reported in one clear line."""

import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from common.errors import ColourbenchError, did_you_mean


class Settings(BaseModel):
    """Base of every settings model: frozen, strict, no unknown fields; each field's docstring is its description."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, data: Any) -> Any:
        """Merges the given fields into this model's defaults, so that naming one nested field does not reset its neighbours."""
        if not isinstance(data, Mapping):
            return data
        nested = {
            name: field.default
            for name, field in cls.model_fields.items()
            if isinstance(field.default, BaseModel)
        }
        merged = merge({name: as_json(default) for name, default in nested.items()}, data)
        return {
            name: _as_tuple(cls.model_fields.get(name), value) for name, value in merged.items()
        }


TAGS = ("kind", "loss")  # fields that select one of several settings models
S = TypeVar("S", bound=BaseModel)


MERGE = "tag:yaml.org,2002:merge"  # of the key <<, which takes over another mapping


class _Loader(yaml.SafeLoader):
    """Safe YAML as version 1.2 has it: `1e-4` is a number, `on` and `off` are words, and no key stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that stands twice: plain PyYAML would drop the first value without a word."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else None)
        return super().construct_mapping(node, deep)


BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOLEAN or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(text: str, origin: str) -> Any:
    """Parses YAML text; `origin` names it in the error.

    Raises:
        ColourbenchError: the text is not YAML; the message gives line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ColourbenchError(
            f"{origin} is not valid YAML{where}: {getattr(error, 'problem', error)}"
        ) from None
    except RecursionError:
        raise ColourbenchError(f"{origin} is nested too deeply to be settings") from None


def read_yaml_file(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping."""
    try:
        data = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ColourbenchError(f"there is no file {path}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise ColourbenchError(f"{path} is not a YAML text file") from None
    except OSError as error:
        raise ColourbenchError(f"cannot read {path}: {error.strerror}") from None
    if not isinstance(data, dict):
        raise ColourbenchError(
            f"{path} should hold fields like `name: value`, and holds {type(data).__name__}"
        )
    return data


def parse(model: type[S], data: Mapping[str, Any], origin: str = "settings") -> S:
    """Validates plain data as `model`.

    Raises:
        ColourbenchError: one line for each wrong field, with the field's path, the reason and the value.
    """
    try:  # through JSON, so that strict mode accepts a YAML list for a tuple
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = [_explain(model, data, dict(item)) for item in error.errors()]
        raise ColourbenchError(
            "\n".join(f"{origin}: {line}" for line in dict.fromkeys(lines))
        ) from None


def override(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Returns a copy of `data` with `a.b.c=value` assignments applied; values are YAML (`1e-4`, `[a, b]`, `null`)."""
    result: dict[str, Any] = json.loads(json.dumps(data, default=str))
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not all(path.split(".")):
            raise ColourbenchError(
                f"--set {assignment!r}: write it as field.field=value, for instance seed=3"
            )
        *parents, leaf = path.strip().split(".")
        target = result
        for name in parents:
            target = target.setdefault(name, {})
            if not isinstance(target, dict):
                raise ColourbenchError(
                    f"--set {assignment!r}: {name} is a single value and has no fields"
                )
        target[leaf] = read_yaml(value, f"--set {assignment!r}")
    return result


def assign(fields: dict[str, Any], path: str, value: Any) -> None:
    """Sets a nested field by its path."""
    *parents, leaf = path.split(".")
    for name in parents:
        fields = fields.setdefault(name, {})
    fields[leaf] = value


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merges nested mappings; `changes` wins, and replaces a whole mapping of another kind, because that has other fields."""
    result = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = (
            merge(result[name], value) if both and _of_one_kind(result[name], value) else value
        )
    return result


def _of_one_kind(base: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return all(base[tag] == changes[tag] for tag in TAGS if tag in base and tag in changes)


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens a nested mapping to `{"a.b.c": value}`."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= (
            flatten(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": value}
        )
    return flat


def as_json(settings: BaseModel) -> dict[str, Any]:
    """Settings as plain JSON data."""
    data: dict[str, Any] = settings.model_dump(mode="json")
    return data


def sha256(data: Any) -> str:
    """Hash of plain data, the same for equal data whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def explain_fields(settings: BaseModel, indent: str = "") -> str:
    """Settings as YAML to edit: every field with its value, range and meaning."""
    lines = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        about = "; ".join(
            part for part in (_choices(field), _range(field), _sentence(field)) if part
        )
        if isinstance(value, BaseModel):
            lines += [
                f"{indent}{name}:  # {about}".rstrip(" #"),
                explain_fields(value, indent + "  "),
            ]
        else:
            plain = as_json(settings)[name]
            lines.append(f"{indent}{name}: {json.dumps(plain)}  # {about}".rstrip(" #"))
    return "\n".join(lines)


def _as_tuple(field: FieldInfo | None, value: Any) -> Any:
    """Turns a list into a tuple where the field needs one: strict validation requires tuples; YAML and JSON have only lists."""
    wanted = field is not None and get_origin(field.annotation) is tuple
    return tuple(value) if wanted and isinstance(value, list) else value


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _choices(field: FieldInfo) -> str:
    options = [value for value in get_args(field.annotation) if isinstance(value, str)]
    return " | ".join(options) if len(options) > 1 else ""


def _range(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{signs[k]} {getattr(item, k)}"
        for item in field.metadata
        for k in signs
        if hasattr(item, k)
    ]
    return ", ".join(bounds)


def _explain(model: type[BaseModel], data: Mapping[str, Any], error: dict[str, Any]) -> str:
    location = _real_path(data, error["loc"])
    path = ".".join(str(part) for part in location) or "the whole"
    if error["type"] == "extra_forbidden":
        return f"{path} is not a known field{_suggestion(model, path)}"
    if error["type"] == "missing":
        return f"{path} is missing"
    reason = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    reason = reason[:1].lower() + reason[1:]
    given = error.get("input")
    return f"{path}: {reason}" + (
        f" (given: {given!r})" if not isinstance(given, dict | list) else ""
    )


def _real_path(data: Any, location: tuple[Any, ...]) -> list[Any]:
    """Drops the union tags that pydantic puts into a location (`variant.NAME.field` is written `variant.field`)."""
    path: list[Any] = []
    for part in location:
        if isinstance(data, Mapping) and part not in data and data.get("name") == part:
            continue
        path.append(part)
        data = data.get(part) if isinstance(data, Mapping) else None
    return path


def _suggestion(model: type[BaseModel], path: str) -> str:
    """Proposes the known field that resembles `path` most."""
    known = set(_known_fields(model.model_json_schema()))
    leaf = path.rpartition(".")[2]
    same_leaf = [field for field in sorted(known) if field.rpartition(".")[2] == leaf]
    if same_leaf:
        return f"; did you mean {same_leaf[0]}?"
    return did_you_mean(path, known) or did_you_mean(leaf, known)


def _known_fields(
    schema: Mapping[str, Any], prefix: str = "", root: Mapping[str, Any] | None = None
) -> Iterable[str]:
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for option in [*schema.get("oneOf", []), *schema.get("anyOf", [])]:
        yield from _known_fields(option, prefix, root)
    for name, field in schema.get("properties", {}).items():
        yield prefix + name
        yield from _known_fields(field, f"{prefix}{name}.", root)

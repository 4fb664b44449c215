"""Every key of a configuration class, with its type, bounds, default and the docstring under it.

The configuration reference of the documentation is written from it, so that it cannot differ from the classes.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_BOUNDS: tuple[tuple[type, str, str], ...] = (
    (annotated_types.Gt, "gt", "> "),
    (annotated_types.Ge, "ge", "≥ "),
    (annotated_types.Lt, "lt", "< "),
    (annotated_types.Le, "le", "≤ "),
    (annotated_types.MultipleOf, "multiple_of", "multiple of "),
)
_PLAIN = {type(None): "null", Any: "any", str: "text", int: "whole number", float: "number", bool: "true or false"}
_LISTS = (list, tuple, set)


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a configuration.

    Attributes:
        name: the key in YAML.
        kind: its type and bounds, in words.
        default: as YAML would write it; empty where the key is required.
        about: its docstring in one line; empty where it has none.
    """

    name: str
    kind: str
    default: str
    about: str


def keys(owner: type) -> list[Key]:
    """The keys of a configuration class, those of its bases included, in the order of the class.

    Args:
        owner: a pydantic model or a dataclass.
    """
    about = _docstrings(owner)
    return [Key(name, _kind(field), _default(field), about.get(name, "")) for name, field in _fields(owner).items()]


def inner_classes(owner: type) -> list[type]:
    """The configuration classes that values of a class's keys are of, each once, also those further inside."""
    found: list[type] = []

    def look(at: type) -> None:
        for field in _fields(at).values():
            for each in _classes(field.annotation):
                if each not in found:
                    found.append(each)
                    look(each)

    look(owner)
    return found


def listing(owner: type) -> Iterator[str]:
    """Every key of a class and of the classes inside it, with type, default and first sentence, line by line."""
    seen = {owner}
    waiting = [("", owner)]
    while waiting:
        place, at = waiting.pop(0)
        yield f"{place} ({at.__name__}): {summary(at)}" if place else summary(at)
        prefix = f"{place}." if place else ""
        for key, field in zip(keys(at), _fields(at).values(), strict=True):
            yield f"  {key.name}: {key.kind}; {f'default {key.default}' if key.default else 'required'}"
            if key.about:
                yield f"      {first_sentence(key.about)}"
            inner = [each for each in _classes(field.annotation) if each not in seen]
            seen |= set(inner)
            waiting += [(prefix + key.name, each) for each in inner]
        yield ""


def first_sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", text)[0]


def summary(owner: type) -> str:
    """The first paragraph of a class's docstring, in one line."""
    return " ".join((inspect.getdoc(owner) or "").split("\n\n")[0].split())


def _fields(owner: type) -> dict[str, FieldInfo]:
    if issubclass(owner, BaseModel):
        return owner.model_fields
    hints = typing.get_type_hints(owner, include_extras=True)
    return {
        field.name: FieldInfo.from_annotated_attribute(hints[field.name], field.default)
        for field in dataclasses.fields(owner)  # type: ignore[arg-type]
    }


def _classes(annotation: Any) -> Iterator[type]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)


def _kind(field: FieldInfo) -> str:
    words = _words(field.annotation)
    bounds = _bounds(field.metadata)
    return f"{words}, {bounds}" if bounds else words


def _bounds(metadata: Iterable[Any]) -> str:
    found = []
    for each in metadata:
        if isinstance(each, FieldInfo):
            found.append(_bounds(each.metadata))
        for part in each if isinstance(each, annotated_types.GroupedMetadata) else [each]:
            found += [f"{sign}{getattr(part, name):g}" for kind, name, sign in _BOUNDS if isinstance(part, kind)]
    return ", ".join(found)


def _words(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        bounds = _bounds(parts[1:])
        return f"{_words(parts[0])} {bounds}" if bounds else _words(parts[0])
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(each) for each in parts)
    if origin in _LISTS:
        inner = [part for part in parts if part is not Ellipsis]
        if origin is tuple and len(inner) == len(parts) > 1:
            return "[" + ", ".join(_words(part) for part in inner) + "]"
        return f"list of {_words(inner[0])}"
    if origin is dict:
        return f"mapping of {_words(parts[0])} to {_words(parts[1])}"
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _yaml(field.default_factory())  # type: ignore[call-arg]
    return "" if field.default is PydanticUndefined else _yaml(field.default)


def _yaml(value: Any) -> str:  # noqa: ANN401 - any default
    if isinstance(value, BaseModel):
        chosen = value.model_dump(exclude_defaults=True)
        kind = getattr(value, "kind", None)  # tells the classes of a list apart, although it is a default
        return _yaml(({"kind": kind} if isinstance(kind, str) else {}) | chosen)
    if dataclasses.is_dataclass(value):
        return "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_yaml(each)}" for name, each in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:g}"
    return '""' if value == "" else str(value)


def _docstrings(owner: type) -> dict[str, str]:
    """Name of a field -> the docstring under it, or its line under `Attributes:` of the class."""
    found: dict[str, str] = {}
    for each in reversed(owner.__mro__):
        if each.__module__.partition(".")[0] not in ("builtins", "pydantic"):
            found |= _listed(inspect.getdoc(each) or "") | _under_fields(each)
    return found


def _under_fields(owner: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if not (
            isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr)
        ):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[field.target.id] = " ".join(after.value.value.split())
    return found


def _listed(docstring: str) -> dict[str, str]:
    section = re.search(r"^Attributes:\n((?:[ ]+.*\n?)+)", docstring, re.M)
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section[1], re.M) if section else []
    return {name: " ".join(text.split()) for name, text in entries}

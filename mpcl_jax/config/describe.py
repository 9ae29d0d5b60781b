"""What each setting is, in words: for `--help`, for error messages, and for the settings page of the docs."""

import dataclasses
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from mpcl_jax.config.fields import LocalPath, Name, Options
from mpcl_jax.config.schema import Config


class Setting(NamedTuple):
    """One setting of a run."""

    name: str  # "train.epochs"
    type: type  # of the default: bool, int, float, str or tuple
    default: Any
    allowed: str  # "a whole number in [1, 1000000], or 'auto'"
    meaning: str  # one or two sentences


def settings() -> list[Setting]:
    """Every setting of a run in the order of the schema."""
    found = []
    for name, kind, info in _fields_of(Config):
        if not dataclasses.is_dataclass(kind):
            meaning = " ".join((info.description or "").split())  # none where the source is not installed
            found.append(Setting(name, type(info.default), info.default, allowed(kind, info), meaning))
    return found


def groups() -> dict[str, str]:
    """Every group of settings, "model.memory", with one line on what it holds, in the order of the schema."""
    fields = _fields_of(Config)
    return {name: kind.__doc__.splitlines()[0] for name, kind, _ in fields if dataclasses.is_dataclass(kind)}


def _fields_of(cls, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    for field in dataclasses.fields(cls):  # in the order of the source, which pydantic does not keep
        yield prefix + field.name, field.type, cls.__pydantic_fields__[field.name]
        if dataclasses.is_dataclass(field.type):
            yield from _fields_of(field.type, f"{prefix}{field.name}.")


def allowed(kind, info: FieldInfo | None = None) -> str:
    """The allowed values of a setting of the annotation `kind` in words; `info` has limits in addition to it."""
    limits = list(info.metadata) if info else []
    if kind == LocalPath:
        return "the path of a local file or folder"
    if kind == Name:
        return "a name of letters, digits and _"
    if kind == Options:
        return "names with a number, text, true or false"
    while get_origin(kind) is Annotated:
        kind, *extras = get_args(kind)
        for extra in extras:
            limits += extra.metadata if isinstance(extra, FieldInfo) else [extra]
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return ", or ".join(map(allowed, arguments))
    if get_origin(kind) is Literal:
        return f"{'one of ' if len(arguments) > 1 else ''}{', '.join(map(repr, arguments))}"
    if get_origin(kind) is tuple:
        least = next((f"at least {x.min_length} " for x in limits if hasattr(x, "min_length")), "")
        return f"a tuple of {least}values, each {allowed(arguments[0])}"
    words = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}[kind]
    return f"{words} {_range(limits)}".strip()


def _range(limits: list) -> str:
    """ "in [1, 10]", "in [0, 1)", "> 0 and <= 10"; "" without limits."""
    found = {name: getattr(x, name) for x in limits for name in ("gt", "ge", "le", "lt") if hasattr(x, name)}
    if "ge" in found:
        return f"in [{found['ge']}, {found['le']}]" if "le" in found else f"in [{found['ge']}, {found['lt']})"
    return f"> {found['gt']} and <= {found['le']}" if found else ""

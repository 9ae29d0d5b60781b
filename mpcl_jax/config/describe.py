"""What each setting is, in words: for `--help`, for error messages, and for the settings page of the docs."""

import ast
import dataclasses
import functools
import inspect
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from mpcl_jax.config.schema import Config


class Setting(NamedTuple):
    """One setting of a run."""

    name: str  # "train.epochs"
    type: type  # of the default: bool, int, float, str or tuple
    default: Any
    allowed: str  # "a whole number in [1, 1000000], or 'auto'"
    group: type  # the dataclass that it belongs to

    @property
    def meaning(self) -> str:
        """One or two sentences: the text below the setting; "" where the source is not installed."""
        return _texts_below_fields(self.group).get(self.name.rpartition(".")[2], "")


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Every setting of a run in the order of the schema."""
    classes = TypeAdapter(Config).json_schema()
    classes = classes.pop("$defs") | {"Config": classes}
    found = []
    for name, cls, field in _fields_of(Config):
        if not dataclasses.is_dataclass(field.type):
            schema = classes[cls.__name__]["properties"][field.name]
            default = cls.__pydantic_fields__[field.name].default
            found.append(Setting(name, type(default), default, allowed(schema), cls))
    return tuple(found)


@functools.cache
def _texts_below_fields(cls: type) -> dict[str, str]:
    """The text below each field of a dataclass; pydantic would read the source of all of them at every import."""
    try:
        statements = ast.parse(inspect.getsource(cls)).body[0].body
    except OSError:
        return {}
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def groups() -> dict[str, str]:
    """Every group of settings, "model.memory", with one line on what it holds, in the order of the schema."""
    kinds = {name: kind.type for name, _, kind in _fields_of(Config) if dataclasses.is_dataclass(kind.type)}
    # `python -OO` removes docstrings.
    return {name: (kind.__doc__ or "").partition("\n")[0] for name, kind in kinds.items()}


def _fields_of(cls: type, prefix: str = "") -> Iterator[tuple[str, type, dataclasses.Field]]:
    """Full name, class and field of every group and setting."""
    for field in dataclasses.fields(cls):
        yield prefix + field.name, cls, field
        if dataclasses.is_dataclass(field.type):
            yield from _fields_of(field.type, f"{prefix}{field.name}.")


def allowed(schema: dict[str, Any]) -> str:
    """The allowed values of a setting in words; `schema`: its JSON schema."""
    if "allowed" in schema:  # of `config/fields.py`
        return schema["allowed"]
    if "anyOf" in schema:
        return ", or ".join(map(allowed, schema["anyOf"]))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return f"{'one of ' if len(values) > 1 else ''}{', '.join(map(repr, values))}"
    if schema["type"] == "array":
        least = f"at least {schema['minItems']} " if "minItems" in schema else ""
        return f"a tuple of {least}values, each {allowed(schema['items'])}"
    words = {"boolean": "true or false", "string": "text", "integer": "a whole number", "number": "a number"}
    low, high = schema.get("minimum"), schema.get("maximum", schema.get("exclusiveMaximum"))
    limits = "" if low is None else f" in [{low}, {high}{']' if 'maximum' in schema else ')'}"
    if "exclusiveMinimum" in schema:
        limits = f" > {schema['exclusiveMinimum']} and <= {high}"
    return words[schema["type"]] + limits

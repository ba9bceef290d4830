"""A table of a file -> a frozen dataclass, with every entry checked against the type of its field."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


def from_table(kind: type[Kind], table: Mapping[str, Any]) -> Kind:
    """Make a dataclass of a table as TOML or JSON give it.

    Lists become tuples; nothing else is converted.

    Args:
        kind: A dataclass whose fields are str, int, float, bool, tuples of them, a literal type, or either
            of a number and a tuple.
        table: Its entries by name; fields with a default may be missing.

    Raises:
        ValueError: An entry is missing, unknown or of the wrong type; or what the dataclass itself raises.

    Example:
        >>> from hyperrestore.network.architectures import NetworkConfig
        >>> from_table(NetworkConfig, {"kind": "paper", "widths": [64], "blocks": [16]}).widths
        (64,)
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"unknown {', '.join(unknown)}; known: {', '.join(known)}")
    hints = get_type_hints(kind)
    entries = {name: _convert(name, value, hints[name]) for name, value in table.items()}
    try:
        return kind(**entries)
    except TypeError as error:  # "... missing 1 required positional argument: 'widths'"
        raise ValueError(str(error).split("() ")[-1]) from error


def _convert(name: str, value: Any, kind: Any) -> Any:
    """Check one entry, and make tuples of lists."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ValueError(f"{name} = {value!r} is unknown; known are {', '.join(map(repr, get_args(kind)))}")
    if get_origin(kind) is UnionType:
        several = isinstance(value, list | tuple)
        (kind,) = (one for one in get_args(kind) if (get_origin(one) is tuple) == several)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if isinstance(value, list | tuple) and (kinds[-1] is ... or len(value) == len(kinds)):
            each = kinds[:1] * len(value) if kinds[-1] is ... else kinds
            return tuple(_convert(name, one, of) for one, of in zip(value, each, strict=True))
        count = "" if kinds[-1] is ... else f"{len(kinds)} "
        raise ValueError(f"{name} = {value!r} must be a list of {count}numbers")
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return value
    if kind is not float and type(value) is kind:
        return value
    wanted = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a text"}[kind]
    raise ValueError(f"{name} = {value!r} must be {wanted}")

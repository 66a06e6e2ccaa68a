"""Values of keys: checked against an annotation, and written as a person would write them."""

import math
import re
import types
from contextlib import suppress
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.fields import LARGEST

__all__ = ["as_written", "check_value", "conform", "literals", "plain", "type_name", "yaml_text"]

NO_TEXT = ("yes", "no", "on", "off", "true", "false", "null")  # to YAML


class WrittenInt(int):
    """A whole number as it was written, such as `007`, which is a name where text is expected."""

    written: str


class WrittenFloat(float):
    """A number as it was written, such as `1e3`."""

    written: str


def as_written(number: float, text: str) -> WrittenInt | WrittenFloat:
    """Return a number that remembers its text."""
    made = WrittenInt(number) if isinstance(number, int) else WrittenFloat(number)
    made.written = text
    return made


def plain(value: Any) -> Any:
    """Return plain containers of plain numbers, which no longer know how they were written."""
    if isinstance(value, dict):
        return {plain(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    if isinstance(value, WrittenInt):
        return int(value)
    return float(value) if isinstance(value, WrittenFloat) else value


def check_value(annotation: Any, value: Any, key: str, where: str = "") -> Any:
    """Return what `conform` returns; its error names the key and where it is set."""
    try:
        return conform(annotation, value)
    except ValueError as error:
        hint = nearest(value, filter(str.isidentifier, map(str, literals(annotation))))
        example = "['no']" if isinstance(value, (list, tuple)) else "'no'"
        members = value if isinstance(value, (list, tuple)) else [value]
        if "str" in type_name(annotation) and any(member is None or isinstance(member, bool) for member in members):
            hint = f'as text, {", ".join(NO_TEXT)} stand in quotes, such as "{key}={example}"'
        if isinstance(value, float) and LARGEST < abs(value) < math.inf:
            hint = f"a number is at most {LARGEST:g}"
        raise UserError(f"{key}: {error}, got {yaml_text(value)}", where, hint) from None


def conform(annotation: Any, value: Any) -> Any:
    """Return a value from YAML as the annotation's type and in its range, else raise `ValueError`.

    A whole number is a float too, a number where text is wanted is that text as it was written, and a list may be a
    tuple. Nothing else is converted: `1` is no bool, `true` no number.

    Example:
        >>> from ar_lightning.core.fields import PositiveFloat
        >>> conform(tuple[PositiveFloat, str], [1, 2])
        (1.0, '2')
    """
    origin, args = get_origin(annotation), get_args(annotation)
    written, value = value, plain(value) if isinstance(value, (int, float)) else value
    kind = type(value)
    if kind is int and abs(value) >= 2**63 and annotation in (int, float):
        pass  # beyond what PyTorch can hold
    elif origin is Annotated:
        with suppress(ValueError):
            if (number := conform(args[0], value)) in args[1]:
                return number
    elif origin is Literal:
        if any(kind is type(option) and value == option for option in args):
            return value
    elif origin in (Union, types.UnionType):
        for member in args:
            with suppress(ValueError):
                return conform(member, written)
    elif origin in (tuple, list):
        members = args * len(value) if origin is list and kind in (tuple, list) else args
        if kind in (tuple, list) and len(value) == len(members):
            with suppress(ValueError):
                return origin(conform(a, v) for a, v in zip(members, value, strict=True))
    elif origin is dict:
        if kind is dict:
            with suppress(ValueError):
                return {conform(args[0], name): conform(args[1], member) for name, member in value.items()}
    elif kind is annotation:
        return value
    elif kind in (int, float) and annotation in (float, str):
        return getattr(written, "written", str(value)) if annotation is str else float(value)
    raise ValueError(f"expected {type_name(annotation)}")


def literals(annotation: Any) -> list[Any]:
    """Return the options of every `Literal` in an annotation."""
    args = get_args(annotation)
    return list(args) if get_origin(annotation) is Literal else [option for a in args for option in literals(a)]


def type_name(annotation: Any) -> str:
    """Write an annotation as a person would: `int >= 1`, `adam | sgd`, `float > 0 or null`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{args[0].__name__} {args[1]}"
    if origin is Literal:
        return " | ".join(str(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in args)
    if origin in (tuple, list):
        return f"[{', '.join(type_name(a) for a in args)}{', ...' if origin is list else ''}]"
    if origin is dict:
        return f"{{{'name' if args[0] is str else type_name(args[0])}: {type_name(args[1])}, ...}}"
    return "null" if annotation is type(None) else annotation.__name__


def yaml_text(value: Any) -> str:
    """Write a value as it would stand in YAML, on one line.

    Example:
        >>> yaml_text([0, False, None, "adam", "2", {"a": 1e-3}])
        "[0, false, null, adam, '2', {a: 0.001}]"
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str):
        is_word = re.fullmatch(r"[^\W\d][\w./-]*", value) and value.lower() not in NO_TEXT
        return value if is_word else repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(yaml_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {yaml_text(v)}' for k, v in value.items())}}}"
    return str(value)

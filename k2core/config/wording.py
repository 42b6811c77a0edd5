"""What a setting has to be, in the words of people who write TOML; pydantic's own never reach a user."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from k2core.discovery.registry import did_you_mean

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least", "entries"),
    "too_long": ("max_length", "at most", "entries"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}


def type_name(annotation: Any) -> str:
    """How people write a type in TOML: text, number, list of text …"""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(a) for a in args if a is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in args)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin is dict or annotation is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "table"
    if origin in (list, tuple, set, frozenset) or getattr(origin, "__name__", "") == "Sequence":
        return f"list of {type_name(args[0])}" if args else "list"
    return "secret" if annotation is SecretStr else _NAMES.get(annotation, getattr(annotation, "__name__", "text"))


def element_of(annotation: Any) -> Any:
    """What a list's entries are; the annotation itself where it is no list."""
    for arm in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(arm) in (list, tuple, set, frozenset) and typing.get_args(arm):
            return typing.get_args(arm)[0]
    return annotation


def complaint(error: ErrorDetails, annotation: Any, secret: bool) -> str:
    """What is wrong with a value, and what it may be instead.

    Args:
        error: One of pydantic's.
        annotation: What the value was to be.
        secret: Whether the value may not be shown.
    """
    kind, limits = error["type"], error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(limits.get("error", error["msg"]))
    got = "" if secret or isinstance(error["input"], dict) else f", not {error['input']!r}"
    if kind in _BOUNDS:
        limit, words = _BOUNDS[kind]
        return f"must be {words} {_number(limits[limit])}{got}"
    if kind in _LENGTHS:
        limit, words, what = _LENGTHS[kind]
        one = what.removesuffix("ies").removesuffix("s") + ("y" if what == "entries" else "")
        return f"must have {words} {limits[limit]} {one if limits[limit] == 1 else what}{got}"
    if kind in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", str(limits.get("expected", "")))
        return f"must be {limits.get('expected')}{got}{did_you_mean(str(error['input']), known)}"
    if kind == "string_pattern_mismatch":
        return f"must have the form {limits['pattern']}{got}"
    return f"must be {_article(type_name(annotation))}{got}"


def _number(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _article(words: str) -> str:
    if words.split()[0] in ("text", "true") or words.startswith("`"):
        return words
    return f"{'an' if words[0] in 'AEIOUaeiou' else 'a'} {words}"

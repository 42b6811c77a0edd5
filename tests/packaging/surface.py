"""Writes down the public surface: every name of `k2core.plugin`, `k2core.testing` and the hook specs, as text.

`python -m tests.packaging.surface` replaces the record (`nox -s generate` does), `--print` shows what it would hold; a
test compares it with the code.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import pathlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pydantic

RECORD = pathlib.Path(__file__).with_name("public_surface.txt")
HEAD = (
    "# The public surface, written by `python3 noxfile.py -s generate`. Each line is one promise: a removed or changed\n"
    "# line breaks somebody's plugin, an added one does not. An abstract method or a needed field that is added breaks.\n"
)
MODULES = ("k2core.plugin", "k2core.testing")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+|<factory>")


def surface() -> list[str]:
    """Every line of the record, sorted within each module."""
    import importlib

    from k2core import hookspecs
    from k2core.discovery.collect import HOOKS

    lines = [f"hook {name}{_signature(getattr(hookspecs, name))}" for name in sorted(HOOKS)]
    for module in MODULES:
        public = importlib.import_module(module)
        for name in sorted(public.__all__):
            lines += _thing(f"{module}.{name}", getattr(public, name))
    return lines


def _thing(name: str, thing: Any) -> Iterator[str]:
    if inspect.isclass(thing):
        yield from _class(name, thing)
    elif inspect.isroutine(thing):
        yield f"{name}{_signature(thing)}"
    elif isinstance(thing, int | str | float | tuple):
        yield f"{name} = {thing!r}"
    else:
        yield f"{name}: {type(thing).__name__}"


def _class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"{name}: class({bases})"
    if issubclass(cls, enum.Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in cls)
        return
    if dataclasses.is_dataclass(cls):
        yield from (f"{name}.{field}" for field in _fields(cls))
    elif issubclass(cls, pydantic.BaseModel):
        yield from (f"{name}.{key}: {_type(f.annotation)}{_default(f.default)}" for key, f in cls.model_fields.items())
    elif issubclass(cls, tuple):
        defaults = getattr(cls, "_field_defaults", {})
        yield from (f"{name}.{key}{_default(defaults.get(key, ...))}" for key in getattr(cls, "_fields", ()))
    else:
        yield from (f"{name}{_signature(cls)}" for _ in [0] if "__init__" in vars(cls))
    for key in sorted(key for key in dir(cls) if not key.startswith("_")):
        yield from _member(name, key, cls)


def _member(name: str, key: str, cls: type) -> Iterator[str]:
    """A method or property that this class or a base of ours defines; inherited ones count as well."""
    home = next((base for base in cls.__mro__ if key in vars(base)), cls)
    member = inspect.getattr_static(cls, key)
    if not home.__module__.startswith("k2core"):
        return
    abstract = " abstract" if getattr(member, "__isabstractmethod__", False) else ""
    if isinstance(member, property):
        yield f"{name}.{key}: property{_returns(member.fget)}{abstract}"
    elif isinstance(member, staticmethod | classmethod):
        yield f"{name}.{key}{_signature(member.__func__)} {type(member).__name__}{abstract}"
    elif isinstance(member, types.FunctionType):
        way = "async " if inspect.iscoroutinefunction(member) else ""
        yield f"{way}{name}.{key}{_signature(member)}{abstract}"


def _fields(cls: type) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = (
            ""
            if needed
            else " = …"
            if field.default is dataclasses.MISSING
            else f" = {_plain(repr(_shown(field.default)))}"
        )
        yield f"{field.name}: {_type(field.type)}{default}{' keyword-only' if field.kw_only else ''}"


class _Something:
    """A default that has no short text, or one that differs from run to run."""

    def __repr__(self) -> str:
        return "…"


def _shown(value: Any) -> Any:
    simple = value is None or isinstance(value, bool | int | float | str | enum.Enum)
    return value if simple or (isinstance(value, tuple) and all(_shown(v) is v for v in value)) else _Something()


def _signature(thing: Any) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(…)"
    empty = inspect.Parameter.empty
    made = [p if p.default is empty else p.replace(default=_shown(p.default)) for p in found.parameters.values()]
    return _plain(found.replace(parameters=made))


def _returns(getter: Any) -> str:
    found = getattr(getter, "__annotations__", {}).get("return")
    return f" -> {_type(found)}" if found is not None else ""


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else _plain(inspect.formatannotation(annotation))


def _default(value: Any) -> str:
    return (
        "" if value is ... or type(value).__name__ == "PydanticUndefinedType" else f" = {_plain(repr(_shown(value)))}"
    )


def _plain(value: Any) -> str:
    """As text without addresses, which differ from run to run."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, inspect.Signature) else repr(value)
    return _ADDRESS.sub("", text)


def recorded() -> list[str]:
    """Lines of the record."""
    return [line for line in RECORD.read_text().splitlines() if not line.startswith("#")]


def main() -> None:
    """Replace the record."""
    RECORD.write_text(HEAD + "\n".join(surface()) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print("\n".join(surface()))
    else:
        main()

"""The tables of `docs/plugins.md` that say what the code says: hooks, methods of interfaces, values that are passed.

`python -m tests.docs.interface_tables` puts them into the page, below the headings and between the lines that name them.
"""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

import k2core.plugin
from k2core import hookspecs
from k2core.discovery.collect import HOOKS
from tests.docs.pages import DOCS

PAGE = DOCS / "plugins.md"
TABLE = re.compile(r"<!-- table of (.+?) -->\n.*?<!-- end -->", re.DOTALL)
Row = tuple[str, str]


def interfaces() -> dict[str, type]:
    """Every abstract class that authors get, by name."""
    found = {name: getattr(k2core.plugin, name) for name in k2core.plugin.__all__}
    return {name: one for name, one in found.items() if inspect.isabstract(one)}


def hooks() -> Iterator[Row]:
    """Every hook with its signature."""
    for name in HOOKS:
        spec = getattr(hookspecs, name)
        yield f"def {name}() -> {spec.__annotations__['return']}", said(spec)


def methods(interface: type) -> Iterator[Row]:
    """Every method of an interface with its signature, those that have to be written first."""
    own = {n: getattr(m, "fget", m) for n, m in vars(interface).items() if not n.startswith("_")}
    for abstract in (True, False):
        for name, method in own.items():
            if inspect.isfunction(method) and (name in interface.__abstractmethods__) == abstract:
                yield spelled(name, method), said(method) + ("" if abstract else " *(has a default)*")


def spelled(name: str, method: Callable[..., Any]) -> str:
    """A method's signature as it stands in the code."""
    begun = "async def" if inspect.iscoroutinefunction(method) else "def"
    return f"{begun} {name}{inspect.signature(method)}".replace("'", "")


def values() -> Iterator[Row]:
    """Every value that passes between core and plugins, with its fields."""
    for name in k2core.plugin.__all__:
        one = getattr(k2core.plugin, name)
        if inspect.isclass(one) and (dataclasses.is_dataclass(one) or issubclass(one, msgspec.Struct)):
            yield f"{name}({', '.join(fields(one))})", said(one)


def fields(one: Any) -> Iterator[str]:
    """The fields of a value; `=…` where one has a default."""
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            given = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            yield field.name if given else f"{field.name}=…"
        return
    needed = len(one.__struct_fields__) - len(one.__struct_defaults__)
    for place, name in enumerate(one.__struct_fields__):
        yield name if place < needed else f"{name}=…"


def errors() -> Iterator[Row]:
    """Every error that authors get, with what it is a kind of."""
    for name in k2core.plugin.__all__:
        one = getattr(k2core.plugin, name)
        if inspect.isclass(one) and issubclass(one, Exception):
            yield f"{name}({one.__bases__[0].__name__})", said(one)


def rest() -> Iterator[Row]:
    """Every other name that authors get: functions, classes, constants."""
    listed = {code.partition("(")[0] for rows in (values(), errors()) for code, _ in rows} | set(interfaces())
    for name in (n for n in k2core.plugin.__all__ if n not in listed):
        one = getattr(k2core.plugin, name)
        if inspect.isfunction(inspect.unwrap(one)):
            yield spelled(name, one), said(one)
        elif isinstance(one, type):
            yield name, said(one)
        elif " object at " not in repr(one):
            yield f"{name} = {one}", constant(name)


def constant(name: str) -> str:
    """The text below a constant in the module that defines it."""
    for at, module in sorted(sys.modules.items()):
        if at.startswith("k2core.") and hasattr(module, name) and module.__file__:
            source = pathlib.Path(module.__file__).read_text()
            if found := re.search(rf'^{name}\b[^\n]* = [^\n]*\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL):
                return " ".join(found[1].split())
    return ""


def said(of: Any) -> str:
    """The first paragraph of a docstring, and the names of what is raised."""
    text = inspect.getdoc(of) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    raised = re.findall(r"^    (\w+):", text.partition("Raises:\n")[2].partition("\n\n")[0], re.MULTILINE)
    return first + (f" Raises {', '.join(f'`{name}`' for name in raised)}." if raised else "")


def table(of: str) -> str:
    """The table that a name stands for."""
    listed = {"hooks": hooks, "values": values, "errors": errors, "the rest": rest}
    rows = listed[of]() if of in listed else methods(interfaces()[of.strip("`")])
    lines = (f"`{code}` | {text}".replace("|", "\\|").replace("` \\| ", "` | ", 1) for code, text in rows)
    body = "".join(f"| {line} |\n" for line in lines)
    return f"| | |\n|---|---|\n{body}"


def filled(page: str) -> str:
    """A page with its tables as the code has them."""
    return TABLE.sub(lambda found: f"<!-- table of {found[1]} -->\n{table(found[1])}<!-- end -->", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))

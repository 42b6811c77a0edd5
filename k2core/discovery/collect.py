"""Calls a plugin's hooks and checks what they return: types, names, settings models, declared facts.

A hook that raises, hangs or returns something else than it should becomes an entry with state `broken`; its neighbours live.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from k2core.component import Component, Settings
from k2core.discovery.attempt import Failed
from k2core.discovery.registry import Entry
from k2core.interfaces.frames import ConnectorFacts
from k2core.records.data_type import DataType

if TYPE_CHECKING:
    import pluggy

    from k2core.discovery.loading import Source

HOOKS = {
    "k2_connectors": "connector",
    "k2_normalizers": "normalizer",
    "k2_enrichers": "enricher",
    "k2_dedup_stores": "dedup-store",
    "k2_sinks": "sink",
    "k2_brokers": "broker",
    "k2_query_sources": "query-source",
    "k2_importers": "importer",
    "k2_data_types": "data-type",
    "k2_commands": "command",
    "k2_local_exchanges": "local-exchange",
}
"""Hook → kind of what it returns."""

MOST = 1000
"""Things that one hook may return."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_DATA_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something returned by a hook: its name, and what is wrong with it (empty: nothing)."""

    name: str
    error: str
    thing: Any


def collect(register: pluggy.PluginManager, source: Source, limit_s: float) -> list[Entry]:
    """Everything that one registered plugin offers; each hook may take `limit_s` seconds."""
    entries: list[Entry] = []
    for hook, kind in HOOKS.items():
        for impl in getattr(register.hook, hook).get_hookimpls():
            entries += _call(hook, kind, impl.function, source, limit_s)
    return entries


def _call(hook: str, kind: str, function: Callable[[], Any], source: Source, limit_s: float) -> Iterator[Entry]:
    try:
        offers = source.attempt(hook, lambda: _offers(kind, function()), limit_s)
    except Failed as error:
        offers = str(error)
    if isinstance(offers, str):
        yield source.broken(f"{hook} {offers}")
        return
    for offer in offers:
        yield Entry(
            kind=kind,
            name=offer.name or source.name,
            distribution=source.distribution,
            version=source.version,
            state="broken" if offer.error else "ok",
            error=offer.error,
            component=None if offer.error else offer.thing,
        )


def _offers(kind: str, returned: Any) -> list[_Offer] | str:
    """What a hook returned, checked, or why it cannot be."""
    if not _is_iterable(returned):
        return f"returned {type(returned).__name__}, not an iterable of {_wanted(kind)}"
    offers = [_check(kind, thing) for thing in itertools.islice(returned, MOST + 1)]
    return offers if len(offers) <= MOST else f"returned more than {MOST:,} things; does it end?"


def _is_iterable(returned: object) -> bool:
    if inspect.iscoroutine(returned):
        returned.close()
    return isinstance(returned, Iterable) and not isinstance(returned, str | bytes)


def _wanted(kind: str) -> str:
    return {"data-type": "DataType", "command": "click.Command"}.get(kind, "Component")


def _check(kind: str, thing: Any) -> _Offer:
    if type_error := _type_error(kind, thing):
        return _Offer("", type_error, thing)
    name = thing.name
    wanted = _DATA_TYPE_NAME if kind == "data-type" else _NAME
    if not isinstance(name, str) or not wanted.fullmatch(name):
        return _Offer(str(name), f"name {name!r} is not of the form {wanted.pattern}", thing)
    return _Offer(name, "" if kind in {"data-type", "command"} else _component_error(kind, thing), thing)


def _type_error(kind: str, thing: Any) -> str:
    types: dict[str, type] = {"data-type": DataType}
    if kind == "command":
        import click

        types["command"] = click.Command
    if isinstance(thing, types.get(kind, Component)):
        return ""
    return f"a {kind} must be a {_wanted(kind)}, not {type(thing).__name__}"


def _component_error(kind: str, component: Any) -> str:
    if not (inspect.isclass(component.settings) and issubclass(component.settings, Settings)):
        return "its settings must be a subclass of k2core.plugin.Settings"
    if not callable(component.factory):
        return "its factory cannot be called"
    if kind == "connector" and not isinstance(component.capabilities, ConnectorFacts):
        return "a connector declares its facts: capabilities must be a ConnectorFacts"
    return ""

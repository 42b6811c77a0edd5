"""Imports entry points and one-file plugins, each on its own, and asks what they offer.

Survives a plugin that fails, exits or hangs at import, was made for another k2core, prints to stdout, changes what all
share, has no hook, or one of a wrong signature or an unknown name: it becomes an entry of kind `plugin`, and the others
go on.
"""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy

from k2core import hookspecs
from k2core.discovery.attempt import Failed, attempt
from k2core.discovery.collect import HOOKS, collect
from k2core.discovery.needs import newer_name, unmet
from k2core.discovery.printed import Printed
from k2core.discovery.registry import Entry, Registry, did_you_mean
from k2core.discovery.surroundings import Surroundings

GROUP = "k2.plugins"
LIMIT_S = 10.0
"""Seconds that the import of a plugin, and each of its hooks, may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a plugin comes from, how to import it, and why it does not fit this k2core (empty where it does)."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    unmet: str = ""

    @property
    def provenance(self) -> str:
        """Who offers it, as `k2-plugin-binance 0.1.0`."""
        return f"{self.distribution} {self.version}".strip()

    def broken(self, error: str, state: Literal["broken", "warning"] = "broken") -> Entry:
        """The entry that reports this plugin."""
        return Entry(
            kind="plugin",
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            state=state,
            error=error,
        )

    def attempt(self, what: str, call: Callable[[], Any], limit_s: float) -> Any:
        """Call into the plugin.

        Raises:
            Failed: It raised, or did not end in time.
        """
        return attempt(call, limit_s, f"{self.provenance}: {what}")


def discover(
    *,
    installed: Iterable[EntryPoint] | None = None,
    files: Sequence[pathlib.Path] = (),
    limit_s: float = LIMIT_S,
) -> Registry:
    """Load every plugin and gather what it offers.

    Args:
        installed: Entry points to load; those of group `k2.plugins` in this environment by default.
        files: One-file plugins, loaded besides.
        limit_s: Seconds that the import of a plugin, and each of its hooks, may take.

    Returns:
        The registry; broken plugins are entries of it, nothing is raised for them.
    """
    found = entry_points(group=GROUP) if installed is None else installed
    sources = [_of_entry_point(e) for e in sorted(found, key=lambda e: e.name)]
    sources += [_of_file(path) for path in files]
    entries: list[Entry] = []
    for source in sources:
        entries += _load(source, limit_s)
    return Registry(entries)


def _of_entry_point(point: EntryPoint) -> Source:
    dist = point.dist
    name, version = (dist.name, dist.version) if dist else (point.value, "")
    return Source(
        name=point.name, distribution=name, version=version, load=point.load, unmet=unmet(dist) if dist else ""
    )


def _of_file(path: pathlib.Path) -> Source:
    return Source(name=path.stem, distribution=path.name, version="", load=lambda: load_file(path))


def load_file(path: pathlib.Path) -> Any:
    """Import a one-file plugin.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It is not Python; whatever it raises itself comes through.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    name = f"k2_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file; one-file plugins end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load(source: Source, limit_s: float) -> list[Entry]:
    """What a plugin offers, and what is to be said of itself; afterwards all is as it was for the next one."""
    if source.unmet:
        return [source.broken(source.unmet)]
    with Printed(source.provenance) as printed:
        before = Surroundings()
        try:
            entries = _offered(source, limit_s)
        except Failed as error:
            entries = [source.broken(str(error))]
        finally:
            changed = before.undo()
    if changed:
        entries.append(source.broken(f"changed {', '.join(changed)} while it was loaded; that was undone", "warning"))
    if printed.text:
        first = printed.text.splitlines()[0][:60]
        entries.append(source.broken(f"printed {first!r} to stdout while it was loaded; stderr got it", "warning"))
    return entries


def _offered(source: Source, limit_s: float) -> list[Entry]:
    try:
        plugin = source.attempt("its import", source.load, limit_s)
    except Failed as error:
        text = str(error).removeprefix("raised ")
        raise Failed(f"cannot be imported: {text}{newer_name(text)}") from error
    # One pluggy register per plugin: a rejected signature leaves nothing half registered beside the others.
    register = pluggy.PluginManager(hookspecs.PROJECT)
    register.add_hookspecs(hookspecs)
    try:
        source.attempt("looking for its hooks", lambda: register.register(plugin, name=source.name), limit_s)
        texts = source.attempt("looking at its hooks", lambda: list(_unknown_hooks(register, plugin)), limit_s)
    except Failed as error:
        raise Failed(f"its hooks are refused: {str(error).splitlines()[-1].strip()}") from error
    wrong = [source.broken(text) for text in texts]
    if not wrong and not register.get_hookcallers(plugin):
        wrong = [source.broken(f"offers nothing: it has no hook, as `@hookimpl def {next(iter(HOOKS))}()`")]
    return wrong + collect(register, source, limit_s)


def _unknown_hooks(register: pluggy.PluginManager, plugin: object) -> Iterator[str]:
    """What check_pending would raise for the first of, and hooks whose author forgot the mark."""
    for caller in register.get_hookcallers(plugin) or ():
        if not caller.has_spec() and not all(i.optionalhook for i in caller.get_hookimpls()):
            yield f"unknown hook {caller.name!r}{did_you_mean(caller.name, HOOKS)}"
    for name in HOOKS:
        if inspect.isfunction(found := getattr(plugin, name, None)) and not hasattr(found, "k2_impl"):
            yield f"{name} is not marked with @hookimpl"

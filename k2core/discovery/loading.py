"""Imports entry points and one-file plugins, each on its own, and asks what they offer.

Survives a plugin that fails or exits at import, prints to stdout, has a hook of a wrong signature or an unknown name:
it becomes an entry of kind `plugin`, and the others go on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from k2core import hookspecs
from k2core.discovery.collect import HOOKS, collect
from k2core.discovery.registry import Entry, Registry, did_you_mean

GROUP = "k2.plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a plugin comes from, and how to import it."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    def broken(self, error: str) -> Entry:
        """The entry that reports this plugin."""
        return Entry(
            kind="plugin",
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            state="broken",
            error=error,
        )


def discover(*, installed: Iterable[EntryPoint] | None = None, files: Sequence[pathlib.Path] = ()) -> Registry:
    """Load every plugin and gather what it offers.

    Args:
        installed: Entry points to load; those of group `k2.plugins` in this environment by default.
        files: One-file plugins, loaded besides.

    Returns:
        The registry; broken plugins are entries of it, nothing is raised for them.
    """
    found = entry_points(group=GROUP) if installed is None else installed
    sources = [_of_entry_point(e) for e in sorted(found, key=lambda e: e.name)]
    sources += [_of_file(path) for path in files]
    entries: list[Entry] = []
    with output_to_stderr():
        for source in sources:
            entries += _load(source)
    return Registry(entries)


def _of_entry_point(point: EntryPoint) -> Source:
    dist = point.dist
    name, version = (dist.name, dist.version) if dist else (point.value, "")
    return Source(name=point.name, distribution=name, version=version, load=point.load)


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


def _load(source: Source) -> list[Entry]:
    try:
        plugin = source.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its own fault alone
        return [source.broken(f"cannot be imported: {type(error).__name__}: {error}".rstrip(": "))]
    # One pluggy register per plugin: a rejected signature leaves nothing half registered beside the others.
    register = pluggy.PluginManager(hookspecs.PROJECT)
    register.add_hookspecs(hookspecs)
    try:
        register.register(plugin, name=source.name)
    except Exception as error:  # noqa: BLE001 - pluggy raises its own errors, and those of the plugin's properties
        return [source.broken(f"its hooks are refused: {str(error).splitlines()[-1].strip()}")]
    wrong = [source.broken(text) for text in _unknown_hooks(register, plugin)]
    return wrong + collect(register, source)


def _unknown_hooks(register: pluggy.PluginManager, plugin: object) -> Iterator[str]:
    """What check_pending would raise for the first of, and hooks whose author forgot the mark."""
    for caller in register.get_hookcallers(plugin) or ():
        if not caller.has_spec() and not all(i.optionalhook for i in caller.get_hookimpls()):
            yield f"unknown hook {caller.name!r}{did_you_mean(caller.name, HOOKS)}"
    for name in HOOKS:
        if inspect.isfunction(found := getattr(plugin, name, None)) and not hasattr(found, "k2_impl"):
            yield f"{name} is not marked with @hookimpl"


@contextlib.contextmanager
def output_to_stderr() -> Iterator[None]:
    """What plugins print while they are loaded goes to stderr, so that `--json` stays JSON."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            kept = os.dup(1)
        except OSError:  # started without a stdout
            yield
            return
        try:
            os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)

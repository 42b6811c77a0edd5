"""A folder that plugins are installed into, as pip would, and what they are written with."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, distributions

from k2core.discovery import Registry, discover

HEAD = """
from k2core.plugin import Component, ConnectorFacts, DataType, Settings, hookimpl

class S(Settings):
    x: int = 1

def make(name, **more):
    return Component(name=name, summary="s", settings=S, factory=lambda settings, context: settings, **more)

"""
GOOD_SINK = "@hookimpl\ndef k2_sinks():\n    yield make('box')\n"
OTHER = "@hookimpl\ndef k2_brokers():\n    return [make('mine')]\n"
Install = Callable[..., None]
Find = Callable[..., Registry]


def put(site: pathlib.Path, name: str, code: str, version: str = "1.2", head: str = HEAD, needs: str = "") -> None:
    """Write a module and its metadata, with an entry point named for the last word of the distribution's name."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(head + code)
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    needed = f"Requires-Dist: {needs}\n" if needs else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
    (info / "entry_points.txt").write_text(f"[k2.plugins]\n{name.split('-')[-1]} = {module}\n")


def points(site: pathlib.Path) -> list[EntryPoint]:
    """Entry points of everything in the folder."""
    return [p for d in distributions(path=[str(site)]) for p in d.entry_points]


def found_in(site: pathlib.Path, limit_s: float = 10) -> Registry:
    """What discovery finds in the folder."""
    return discover(installed=points(site), limit_s=limit_s)

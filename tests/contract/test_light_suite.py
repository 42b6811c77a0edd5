"""Each MUST of a plugin's module and descriptor has a plugin that breaks it, and that fails its test and no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k2core.testing.conformance.light import LightSuite
from k2core.testing.conformance.suite import standard_tests
from tests.contract.standard import failing

SOUND = """
from k2core.plugin import Component, Normalizer, Settings

def make(settings, context):
    import pyarrow
    return pyarrow

COMPONENT = Component(name="pit", summary="Pit", settings=Settings, factory=make)
"""
LIGHT = "test_P01_the_plugin_is_light_to_import"
NOTHING = "test_P02_importing_the_plugin_does_nothing"
DESCRIPTOR = "test_P03_the_descriptor_is_sound"
NO_IO = "test_P04_the_factory_does_no_io"
LOOSE = 'from pydantic import BaseModel\nclass Loose(Settings):\n    model_config = {"extra": "ignore"}\n'
BROKEN = [
    ("import pyarrow\n", {}, LIGHT),
    ("import sqlite3, websockets.asyncio.client\n", {}, LIGHT),
    ('print("loaded")\n', {}, NOTHING),
    (
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 0.1)\nexcept OSError:\n    X = 1\n",
        {},
        NOTHING,
    ),
    ("import subprocess\nsubprocess.run(['true'])\n", {}, NOTHING),
    ("import threading, time\nthreading.Thread(target=time.sleep, args=(1,), daemon=True).start()\n", {}, NOTHING),
    ("import os\nos.environ['K2_PIT'] = '1'\n", {}, NOTHING),
    ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n", {}, NOTHING),
    ("import sys\nsys.setrecursionlimit(5000)\n", {}, NOTHING),
    ("open(__file__ + '.log', 'w').close()\n", {}, NOTHING),
    ("", {'name="pit"': 'name="Pit!"'}, DESCRIPTOR),
    ("", {'summary="Pit"': 'summary=""'}, DESCRIPTOR),
    ("", {"COMPONENT =": LOOSE + "COMPONENT =", "settings=Settings": "settings=Loose"}, DESCRIPTOR),
    ("", {"    import pyarrow\n": "    import socket; socket.create_connection(('127.0.0.1', 9))\n"}, NO_IO),
    ("", {"    return pyarrow": "    import subprocess; subprocess.run(['true']); return 1"}, NO_IO),
    ("", {"    return pyarrow": "    return None"}, NO_IO),
]


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Any]:
    """Writes a one-file plugin and gives its suite."""
    names = []

    def write(text: str) -> type[LightSuite]:
        name = f"pit_plugin_{tmp_path.name.replace('-', '_')}_{len(names)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text("# a plugin\n" + SOUND)
        component = importlib.import_module(name).COMPONENT
        (tmp_path / f"{name}.py").write_text(text)  # what is probed; this process must not suffer from it
        return type("SuitePit", (LightSuite,), {"component": component})

    sys.path.insert(0, str(tmp_path))
    yield write
    sys.path.remove(str(tmp_path))
    for name in names:
        sys.modules.pop(name, None)


def test_a_sound_plugin_passes(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(
        "PYTHONDONTWRITEBYTECODE"
    )  # as at an author's: a module that Python compiles has written nothing
    assert failing(plugin(SOUND)) == {}


@pytest.mark.parametrize(("first", "changed", "meant"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_plugin_fails_the_test_meant_for_it(
    plugin: Any, first: str, changed: dict[str, str], meant: str
) -> None:
    text = first + SOUND
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    suite = plugin(text)
    if changed:
        namespace: dict[str, Any] = {"__name__": suite.component.factory.__module__}
        exec(compile(text, "pit", "exec"), namespace)
        suite.component = namespace["COMPONENT"]
    assert set(failing(suite)) == {meant}


def test_every_must_has_a_plugin_that_breaks_it() -> None:
    assert set(standard_tests(LightSuite)) == {meant for _, _, meant in BROKEN}

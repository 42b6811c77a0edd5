"""What holds for every component: its plugin is light to import, and importing or making it does nothing.

Each test runs a Python of its own that listens to what the interpreter itself reports (audit events), so that nothing
which a plugin does at import can hide, and nothing of it stays in the test's process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import pytest

from k2core.component import Component, Context
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.facts import FactSuite

HEAVY = (
    *("pyarrow", "numpy", "pandas", "polars", "duckdb", "pyiceberg", "fastavro", "sqlalchemy", "litestar", "uvicorn"),
    *("websockets", "aiohttp", "httpx", "httpx2", "requests", "redis", "confluent_kafka", "boto3"),
)
_PROBE = """
import importlib, json, os, signal, sys, threading
done, watching = [], [True]
WATCHED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system",
           "os.fork", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "sqlite3.connect")
def hear(event, args):
    if watching[0] and (event in WATCHED or (event == "open" and written(args))):
        done.append(f"{event} {args[:2]!r}"[:200])
def written(args):
    path, mode = str(args[0]), args[1] or ""
    return isinstance(mode, str) and any(c in mode for c in "wax+") and ".pyc" not in path and "__pycache__" not in path
entry, out = sys.argv[1], os.fdopen(os.dup(1), "w")
import k2core.plugin
os.dup2(os.open(os.devnull, os.O_RDWR), 0)
seen = set(sys.modules)
said = os.memfd_create("said") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
os.dup2(said, 1)
hooks = lambda: [signal.getsignal(signal.SIGINT), sys.excepthook, sys.stdout, os.getcwd(), dict(os.environ),
                 threading.active_count(), sys.getrecursionlimit()]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
before = hooks()
sys.addaudithook(hear)
module = importlib.import_module(entry)
for hook in [value for name, value in vars(module).items() if name.startswith("k2_") and callable(value)]:
    list(hook())
watching[0] = False
sys.stdout.flush()
os.lseek(said, 0, 0)
out.write(json.dumps({"imported": sorted(set(sys.modules) - seen), "done": done, "changed": before != hooks(),
                      "printed": os.read(said, 1000).decode(errors="replace")}))
out.flush()
"""


class LightSuite(FactSuite):
    """Base of the suites of components.

    Attributes:
        component: The descriptor that the plugin's hook returns; its factory makes what is tested.
        options: Settings that the component is made with, where it needs any.
        heavy: Further modules that may not be imported with the plugin.
    """

    component: ClassVar[Component[Any]]
    options: ClassVar[Mapping[str, Any]] = {}
    heavy: ClassVar[tuple[str, ...]] = ()

    def make(self, **options: Any) -> Any:
        """What the component's factory makes; a clock that stands still is in its context."""
        import logging

        from k2core.telemetry.metrics import Metrics

        settings = self.component.settings(**{**self.options, **options})
        logger = logging.getLogger(f"k2.conformance.{self.component.name}")
        return self.component.factory(settings, Context(clock=ManualClock(), logger=logger, metrics=Metrics()))

    def _probe(self) -> dict[str, Any]:
        return _probed(self.component.factory.__module__, os.pathsep.join(path for path in sys.path if path))

    def test_P01_the_plugin_is_light_to_import(self) -> None:
        """`k2 plugins` imports every plugin and calls its hooks: heavy libraries wait inside factories."""
        heavy = {*HEAVY, *self.heavy}
        found = sorted({name.partition(".")[0] for name in self._probe()["imported"]} & heavy)
        assert not found, f"importing {self.component.factory.__module__} imports {found}: import them in the factory"

    def test_P02_importing_the_plugin_does_nothing(self) -> None:
        """No network, no process, no file, nothing printed, no state of the process changed."""
        found = self._probe()
        assert not found["done"], f"at import: {found['done']}"
        assert not found["printed"], f"at import it prints {found['printed']!r}"
        assert not found["changed"], "at import it changes the process: signals, environment, folder, threads, stdout"

    def test_P03_the_descriptor_is_sound(self) -> None:
        """A name that `use = "…"` can say, one line of summary, settings that refuse what they do not know."""
        import re

        from k2core.component import Settings

        component = self.component
        assert re.fullmatch(r"[a-z][a-z0-9-]*", component.name), f"{component.name!r}: lower case, digits and hyphens"
        assert component.summary, "one line for `k2 plugins`"
        assert "\n" not in component.summary, "one line for `k2 plugins`"
        assert issubclass(component.settings, Settings)
        assert component.settings.model_config.get("extra") == "forbid", "a mistyped setting must be an error"

    def test_P04_the_factory_does_no_io(self) -> None:
        """Settings in, component out: it connects, starts and asks nothing before it is used."""
        import socket

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("the factory reaches for the network or starts a process")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", refuse)
            patch.setattr(socket.socket, "bind", refuse)
            patch.setattr(socket, "getaddrinfo", refuse)
            patch.setattr(subprocess.Popen, "__init__", refuse)
            assert self.make() is not None, "the factory makes nothing"


@lru_cache(maxsize=64)
def _probed(entry: str, path: str) -> dict[str, Any]:
    """What importing a module does, in a Python of its own."""
    done = subprocess.run(  # noqa: S603 - this Python, this probe, a module that is imported already
        [sys.executable, "-B", "-c", _PROBE, entry],  # its compiled form would be a file that it writes
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"importing {entry} alone fails:\n{done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found

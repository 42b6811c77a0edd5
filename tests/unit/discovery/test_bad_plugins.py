"""Plugins that hang, print, change what all share, or were made for another k2core: named, undone, and nobody else's harm."""

from __future__ import annotations

import decimal
import json
import locale
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from k2core.discovery import Entry, Registry, discover
from k2core.errors import PluginError
from tests.unit.discovery.plugin_site import GOOD_SINK, HEAD, OTHER, Find, Install

LIMIT_S = 0.3


def of_plugin(registry: Registry, state: str) -> Entry:
    found = [e for e in registry.entries if e.kind == "plugin" and e.state == state]
    assert len(found) == 1, found
    (entry,) = found
    return entry


HANGS = {
    "sleeps at import": ("import time; time.sleep(60)", "cannot be imported: did not end within 0.3 s"),
    "loops at import": ("while True: pass", "cannot be imported: did not end within 0.3 s"),
    "waits for a lock": (
        "import threading\n@hookimpl\ndef k2_sinks():\n    x = threading.Lock(); x.acquire(); x.acquire()",
        "k2_sinks did not end within 0.3 s",
    ),
    "waits for a socket": (
        "import socket\n@hookimpl\ndef k2_sinks():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as s: s.accept()",
        "k2_sinks did not end within 0.3 s",
    ),
    "swallows the first alarm": (
        "import time\ntry: time.sleep(60)\nexcept BaseException: pass\ntime.sleep(60)",
        "cannot be imported: did not end within 0.3 s",
    ),
    "catches every Exception": (
        "import time\n@hookimpl\ndef k2_sinks():\n    while True:\n"
        "        try: time.sleep(60)\n        except Exception: pass",
        "k2_sinks did not end within 0.3 s",
    ),
    "hangs while yielding": (
        "import time\n@hookimpl\ndef k2_sinks():\n    yield make('a')\n    time.sleep(60)", "k2_sinks did not end"
    ),
    "hangs as pluggy looks at it": ("import time\ndef __getattr__(name):\n    time.sleep(60)", "its hooks are refused"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), HANGS.values(), ids=HANGS.keys())
def test_one_that_hangs_is_cut_and_named(code: str, said: str, install: Install, find: Find) -> None:
    install("k2-plugin-slow", OTHER + code, "9.9")
    install("k2-plugin-box", GOOD_SINK)
    began = time.monotonic()
    registry = find(limit_s=LIMIT_S)
    assert time.monotonic() - began < 50
    bad = of_plugin(registry, "broken")
    assert said in bad.error
    assert bad.provenance == "k2-plugin-slow 9.9"
    assert registry.find("sink", "box").state == "ok"


def test_what_hangs_and_swallows_everything_ends_the_process_with_its_name(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "stuck.py"
    file.write_text("import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass")
    code = f"import pathlib; from k2core.discovery import discover; discover(files=[pathlib.Path({str(file)!r})], limit_s=0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 3
    assert (
        done.stderr == "error: stuck.py: its import has not ended for 2 s and cannot be cut off: uninstall or mend it\n"
    )


def test_an_alarm_of_somebody_else_goes_on(install: Install, find: Find) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        install("k2-plugin-slow", "import time; time.sleep(60)")
        find(limit_s=LIMIT_S)
        deadline = time.monotonic() + 60
        while not rung and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, interval)
    assert rung == [signal.SIGALRM]


def test_the_user_can_interrupt(install: Install, find: Find) -> None:
    install("k2-plugin-bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        find()


ODD = {
    "an error that cannot be told": (
        "class E(Exception):\n    def __str__(self): raise ValueError\n@hookimpl\ndef k2_sinks():\n    raise E",
        "k2_sinks raised E",
    ),
    "an error of no kind": ("class E(BaseException): ...\nraise E('x')", "cannot be imported: E: x"),
    "no end of things": (
        "@hookimpl\ndef k2_sinks():\n    while True: yield make('a')", "k2_sinks returned more than 1,000 things"
    ),
    "no hook": ("", "offers nothing: it has no hook, as `@hookimpl def k2_connectors()`"),
    "a name that this k2core lacks": (
        "from k2core.plugin import Conector",
        "cannot import name 'Conector' from 'k2core.plugin'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), ODD.values(), ids=ODD.keys())
def test_odd_ones_are_named(code: str, said: str, install: Install, find: Find) -> None:
    install("k2-plugin-odd", code, "9.9")
    install("k2-plugin-box", GOOD_SINK)
    registry = find()
    assert said in of_plugin(registry, "broken").error
    assert registry.find("sink", "box").state == "ok"


def test_a_name_that_is_nearly_right_is_found(install: Install, find: Find) -> None:
    install("k2-plugin-odd", "from k2core.plugin import Conector")
    assert "did you mean 'Connector'?" in of_plugin(find(), "broken").error


@pytest.mark.parametrize(
    "needs", ["k2core>=99", "k2core<0.1", "K2Core (>=0.2,<0.3)", "k2core==0.0.*; python_version > '3'"]
)
def test_one_made_for_another_k2core_is_not_even_imported(needs: str, install: Install, find: Find) -> None:
    install("k2-plugin-new", "raise AssertionError('imported')", "9.9", needs=needs)
    bad = of_plugin(find(), "broken")
    assert bad.provenance == "k2-plugin-new 9.9"
    assert bad.error.startswith("needs k2core ")
    assert "and this is 0.1.0: `pip install --upgrade k2-plugin-new`" in bad.error
    with pytest.raises(PluginError, match=r"k2-plugin-new 9\.9 is broken: needs k2core"):
        find().find("sink", "new")


@pytest.mark.parametrize(
    "needs", ["k2core>=0.1,<0.2", "k2core", "k2core>=99; extra == 'far'", "k2core-other>=99", "k2core ???"]
)
def test_one_made_for_this_k2core_is(needs: str, install: Install, find: Find) -> None:
    install("k2-plugin-box", GOOD_SINK, needs=needs)
    assert find().find("sink", "box").state == "ok"


def _warning_state() -> Any:
    return list(warnings.filters), warnings.showwarning


def _logging_state() -> Any:
    root = logging.getLogger()
    return root.level, list(root.handlers), root.manager.disable, logging.getLogger("k2.writer").disabled


SHARED: dict[str, tuple[str, Callable[[], Any], str]] = {
    "working directory": ("import os; os.chdir('/')", os.getcwd, "the working directory"),
    "locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        lambda: locale.setlocale(locale.LC_ALL),
        "the locale",
    ),
    "signal": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        lambda: signal.getsignal(signal.SIGTERM),
        "signal handlers",
    ),
    "log level": ("import logging; logging.getLogger().setLevel(1)", _logging_state, "the root logger"),
    "log output": ("import logging; logging.getLogger().addHandler(logging.StreamHandler())", _logging_state,
                   "the root logger"),
    "log silence": ("import logging; logging.disable()", _logging_state, "the root logger"),
    "log of ours": (
        "import logging.config; logging.config.dictConfig({'version': 1})", _logging_state, "the root logger"
    ),
    "warnings": ("import warnings; warnings.simplefilter('ignore')", _warning_state, "warning filters"),
    "warnings lost": ("import warnings; warnings.resetwarnings()", _warning_state, "warning filters"),
    "decimal": (
        "import decimal; decimal.getcontext().prec = 3; decimal.DefaultContext.rounding = 'ROUND_UP'",
        lambda: (decimal.getcontext().prec, decimal.DefaultContext.rounding),
        "the decimal context",
    ),
    "path": ("import sys; sys.path.remove(sys.path[0])", lambda: list(sys.path), "sys.path"),
    "path anew": ("import sys; sys.path = []", lambda: list(sys.path), "sys.path"),
    "environment": (
        "import os; os.environ['K2_API__PORT'] = '1'; os.environ.pop('PATH')",
        lambda: dict(os.environ),
        "environment variables",
    ),
    "built-ins": ("import builtins; builtins.open = builtins.mine = print", lambda: open, "built-ins"),
    "stderr": ("import io, sys; sys.stderr = io.StringIO()", lambda: sys.stderr, "interpreter switches"),
    "recursion": ("import sys; sys.setrecursionlimit(5000)", sys.getrecursionlimit, "interpreter switches"),
    "rights": ("import os; os.umask(0)", lambda: os.umask(os.umask(0o22)) and None, "interpreter switches"),
}  # fmt: skip


@pytest.fixture
def odd_locale() -> Any:
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("odd_locale")
@pytest.mark.parametrize(("code", "read", "said"), SHARED.values(), ids=SHARED.keys())
@pytest.mark.parametrize("where", ["import", "hook", "failed import"])
def test_what_all_share_is_put_back(
    where: str, code: str, read: Callable[[], Any], said: str, install: Install, find: Find
) -> None:
    logging.getLogger("k2.writer").disabled = False
    body = {"import": f"{code}\n{GOOD_SINK}", "failed import": f"{code}\nraise OSError('no')"}
    body["hook"] = f"@hookimpl\ndef k2_sinks():\n    {code}\n    yield make('box')"
    install("k2-plugin-rude", body[where], "9.9")
    before = read()
    registry = find()
    assert read() == before
    warned = of_plugin(registry, "warning")
    assert warned.error == f"changed {said} while it was loaded; that was undone"
    assert warned.provenance == "k2-plugin-rude 9.9"
    assert [e.error for e in registry.broken if e.kind != "plugin"] == []
    if where != "failed import":
        assert registry.find("sink", "box").state == "ok"


def test_a_plugin_finds_its_own_modules_but_hides_nobody_elses(install: Install, find: Find) -> None:
    before = list(sys.path)
    try:
        install("k2-plugin-rude", "import sys; sys.path.insert(0, '/nowhere/mine')\n" + GOOD_SINK)
        install("k2-plugin-meek", "import sys; sys.path.append('/nowhere/too')\n" + OTHER)
        registry = find()
        assert sys.path == [*before, "/nowhere/too", "/nowhere/mine"]
    finally:
        sys.path[:] = before
    assert [e.distribution for e in registry.warnings] == ["k2-plugin-rude"]


def test_filters_for_one_message_are_their_owners_business(install: Install, find: Find) -> None:
    with warnings.catch_warnings():
        install("k2-plugin-box", "import warnings; warnings.filterwarnings('ignore', message='mine')\n" + GOOD_SINK)
        assert find().warnings == ()


LOUD = (
    "import os, sys\nprint('loud one')\nos.system('echo loud two')\nsys.__stdout__.write('loud three')\n"
    "os.write(1, b'loud four')\n"
)


def test_prints_are_told_with_a_name_and_stdout_stays_clean(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "loud.py"
    file.write_text(LOUD + HEAD + GOOD_SINK)
    command = [sys.executable, "-m", "k2core.cli.main", "plugins", "--json", "--plugin", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True)
    rows = json.loads(done.stdout)
    (row,) = [r for r in rows if r["state"] == "warning"]
    assert (row["distribution"], row["error"]) == (
        "loud.py", "printed 'loud one' to stdout while it was loaded; stderr got it",
    )  # fmt: skip
    assert done.stderr.splitlines()[0] == "loud.py printed: loud one"
    assert all(word in done.stderr for word in ("loud two", "loud three", "loud four"))


def test_a_quiet_one_is_not_warned_of(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "quiet.py"
    file.write_text(HEAD + GOOD_SINK)
    assert discover(installed=(), files=[file]).warnings == ()

"""`k2 doctor`: looks at everything that k2 needs, and for what is wrong prints the command or the line that repairs it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import click

from k2core.cli.doctor_services import service_looks
from k2core.cli.looking import together
from k2core.cli.preflight import RunLock, check_port, check_writable, data_paths, mending, nearest_folder
from k2core.cli.session import Session, current
from k2core.cli.terminal import print_findings
from k2core.clock import SystemClock
from k2core.errors import ConfigError, K2Error
from k2core.interfaces.checks import Finding

FREE_BYTES = 2 << 30
OLDEST_S, NEWEST_S = 1_735_689_600, 4_102_444_800  # 2025 and 2100: a machine without a clock says 1970


Look = Callable[[Session], Iterator[Finding]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of {name, ok, detail, repair, checked}.")
def doctor(as_json: bool) -> int:
    """Look for what is wrong here, and say what repairs it. Exit code 1 where something is."""
    found = list(examine(current()))
    print_findings(found, as_json)
    return 0 if all(finding.ok for finding in found) else 1


def examine(session: Session) -> Iterator[Finding]:
    """Every finding; what needs valid settings is left out where they are not."""
    yield from python(session)
    yield from clock(session)
    yield from plugins(session)
    valid = list(settings(session))
    yield from valid
    if all(finding.ok for finding in valid):
        for look in (connectors, paths, disk, port):
            yield from look(session)
        yield from together(service_looks(session), session.clock)


def python(_: Session) -> Iterator[Finding]:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")


def clock(_: Session) -> Iterator[Finding]:
    """Whether the machine's time can be true."""
    now = SystemClock().now_ns() / 1e9
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    yield Finding("clock", OLDEST_S < now < NEWEST_S, text, "timedatectl set-ntp true")


def plugins(session: Session) -> Iterator[Finding]:
    """Plugins that cannot be used."""
    for entry in session.registry.broken:
        repair = f"pip install --upgrade --force-reinstall {entry.distribution}"
        if entry.distribution.endswith(".py"):
            repair = f"mend {entry.distribution}, or leave --plugin out"
        elif entry.state == "clash":
            repair = f"pip uninstall {entry.distribution}"
        yield Finding(f"plugin {entry.distribution}", False, f"{entry.kind} {entry.name}: {entry.error}", repair)
    for entry in session.registry.warnings:
        yield Finding(f"plugin {entry.distribution}", True, f"works, but {entry.error}: tell its author")
    working = sum(entry.state == "ok" for entry in session.registry.entries)
    yield Finding("plugins", True, f"{working} components, data types and commands work")


def settings(session: Session) -> Iterator[Finding]:
    """Every mistake in the settings."""
    from k2core.cli.config_commands import find_problems

    found = find_problems()
    for problem in found.problems:
        yield Finding("settings", False, problem, _repair_settings(problem))
    for note in found.notes:
        yield Finding("settings note", True, note)
    if not found.problems:
        yield Finding("settings", True, found.file or "no k2.toml: all defaults")


def _repair_settings(problem: str) -> str:
    _, found, command = problem.partition("try `")
    if found and "did you mean" not in problem:
        return command.split("`")[0]
    return "edit that file, or unset that variable; docs/configuration.md lists every key"


def connectors(session: Session) -> Iterator[Finding]:
    """What is captured. Nothing is no mistake: k2 may only answer here, or only write."""
    names = ", ".join(section.instance for section in session.config.connectors)
    none = 'none: `k2 up` and `k2 ingest` need one, as [connectors.binance] with symbols = ["BTCUSDT"] in k2.toml'
    yield Finding("connectors", True, names or none)


def paths(session: Session) -> Iterator[Finding]:
    """Folders that k2 writes to."""
    for place in data_paths(session.config, session.registry):
        yield _tried(f"path {place.setting}", str(place.path), mending(place), partial(check_writable, place))


def disk(session: Session) -> Iterator[Finding]:
    """Room for the log and the tables."""
    folders = sorted(nearest_folder(place.path) for place in data_paths(session.config, session.registry))
    for folder in {folder.stat().st_dev: folder for folder in reversed(folders)}.values():  # one a disk
        usage = shutil.disk_usage(folder)
        if not usage.total:  # no disk, as /proc: that is told as a path that cannot be written
            continue
        free = usage.free
        text = f"{folder}: {free / (1 << 30):.1f} GiB free"
        yield Finding("disk", free >= FREE_BYTES, text, "free some space, or set the paths in k2.toml to another disk")


def port(session: Session) -> Iterator[Finding]:
    """Whether the API's port is free, unless it is a running `k2 up` that has it."""
    api, run = session.config.api, session.config.run
    try:
        with RunLock(run.path) if run.path.is_dir() else nullcontext():
            yield _tried("port", f"{api.host}:{api.port}", f"k2 up --port {api.port + 1}",
                         lambda: check_port(api.host, api.port))  # fmt: skip
    except ConfigError as error:
        yield Finding("port", True, f"{api.host}:{api.port} is k2's own: {error}".split(": stop it")[0])


def _tried(name: str, detail: str, repair: str, look: Callable[[], None]) -> Finding:
    try:
        look()
    except (K2Error, OSError) as error:
        return Finding(name, False, str(error), repair)
    return Finding(name, True, detail)

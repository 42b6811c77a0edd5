"""`k2 doctor`: looks at everything that k2 needs, and for what is wrong prints the command or the line that repairs it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from k2core.cli.history import check_tables
from k2core.cli.preflight import DataPath, RunLock, check_port, check_writable, data_paths
from k2core.cli.session import Session, current
from k2core.cli.terminal import print_json
from k2core.clock import SystemClock
from k2core.errors import ConfigError, K2Error, PluginError
from k2core.interfaces.checks import Finding

FREE_BYTES = 2 << 30
OLDEST_S, NEWEST_S = 1_735_689_600, 4_102_444_800  # 2025 and 2100: a machine without a clock says 1970


Look = Callable[[Session], Iterator[Finding]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of {name, ok, detail, repair}.")
def doctor(as_json: bool) -> int:
    """Look for what is wrong here, and say what repairs it. Exit code 1 where something is."""
    found = list(examine(current()))
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            click.echo(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.name}: {finding.detail}")
            if not finding.ok:
                click.echo(f"       → {finding.repair}")
    return 0 if all(finding.ok for finding in found) else 1


def examine(session: Session) -> Iterator[Finding]:
    """Every finding; what needs valid settings is left out where they are not."""
    yield from python(session)
    yield from clock(session)
    yield from plugins(session)
    valid = list(settings(session))
    yield from valid
    if all(finding.ok for finding in valid):
        for look in (paths, disk, port, log, tables):
            yield from look(session)


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


def paths(session: Session) -> Iterator[Finding]:
    """Folders that k2 writes to."""
    for place in data_paths(session.config, session.registry):
        repair = f"mkdir -p {place.path.parent} && chmod u+rwx {place.path.parent}"
        yield _tried(f"path {place.setting}", str(place.path), repair, partial(check_writable, place))


def disk(session: Session) -> Iterator[Finding]:
    """Room for the log and the tables."""
    for folder in sorted({_existing(place) for place in data_paths(session.config, session.registry)}):
        free = shutil.disk_usage(folder).free
        text = f"{folder}: {free / (1 << 30):.1f} GiB free"
        yield Finding("disk", free >= FREE_BYTES, text, "free some space, or set the paths in k2.toml to another disk")


def _existing(place: DataPath) -> Path:
    return next(folder for folder in (place.path, *place.path.parents) if folder.is_dir())


def port(session: Session) -> Iterator[Finding]:
    """Whether the API's port is free, unless it is a running `k2 up` that has it."""
    api, run = session.config.api, session.config.run
    try:
        with RunLock(run.path) if run.path.is_dir() else nullcontext():
            yield _tried("port", f"{api.host}:{api.port}", f"k2 up --port {api.port + 1}",
                         lambda: check_port(api.host, api.port))  # fmt: skip
    except ConfigError as error:
        yield Finding("port", True, f"{api.host}:{api.port} is k2's own: {error}".split(": stop it")[0])


def log(session: Session) -> Iterator[Finding]:
    """Whether the log opens and is of a version that this k2 reads."""

    def look() -> str:
        if not session.assembly.broker().exists():
            return "none yet: `k2 up` makes it"
        with session.assembly.broker() as opened:
            return f"{len(opened.topics())} topics"

    yield _opened("log", "opens", "pip install --upgrade k2core, or set broker.path to a new file", look)


def tables(session: Session) -> Iterator[Finding]:
    """Whether the tables can be read."""

    def look() -> str:
        types = [t for t in session.assembly.data_types().values() if t.table]
        with session.assembly.query_source() as source:
            held = [t.table for t in types if source.table(t).newest().id is not None]
        return f"{', '.join(str(name) for name in held) or 'empty so far'}"

    def compare() -> None:
        check_tables(session.assembly)

    yield _opened(
        "history", "the log is the one that fed the tables", "docs/operations.md, A log was replaced", compare
    )
    yield _opened("tables", "can be read", "restore the warehouse from a backup, or set its path to a new folder", look)


def _opened(name: str, detail: str, repair: str, look: Callable[[], str | None]) -> Finding:
    """Try to open something that settings and plugins describe: where those are wrong, it is not what is damaged."""
    try:
        return _tried(name, detail, repair, look, passing=(ConfigError, PluginError))
    except (ConfigError, PluginError) as error:
        return Finding(name, False, f"not looked at: {error}", "mend that first, then k2 doctor again")


def _tried(
    name: str, detail: str, repair: str, look: Callable[[], str | None], passing: tuple[type[K2Error], ...] = ()
) -> Finding:
    try:
        return Finding(name, True, look() or detail)
    except passing:
        raise
    except (K2Error, OSError) as error:
        return Finding(name, False, str(error), repair)

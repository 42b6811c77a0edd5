"""`k2 up`: starts `k2 ingest`, `k2 write` and `k2 serve`, minds them, and stops them in order.

What would make a child fail at once is looked for before anything is started: wrong settings, a second `k2 up` on the
same data, a taken port, a folder that cannot be written, a log of a newer k2: exit code 2 and one line.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from k2core.cli.child import ChildSpec
from k2core.cli.orphan import die_with_parent, is_minded
from k2core.cli.preflight import RunLock, check_port, check_writable, data_paths
from k2core.cli.session import Session, current
from k2core.cli.supervise import Ending, Limits, Supervisor
from k2core.cli.view import View
from k2core.errors import K2Error
from k2core.telemetry.status import read_statuses

if TYPE_CHECKING:
    from k2core.config import Config

ORDER = ("ingest", "write", "serve")
"""Children, in the order they are stopped: what one leaves in the log, the next still takes."""

CUT_BY_SIGNAL = 130


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API; else [api] port.")
def up(port: int | None) -> int:
    """Start ingest, write and serve on this machine, and mind them. Ctrl-C stops them in order."""
    if is_minded():
        die_with_parent()
    session = current()
    if port is not None:
        session.overrides["api", "port"] = str(port)
    with RunLock(session.config.run.path):
        check(session)
        forget_statuses(session.config)
        view = View(session.assembly.clock)
        ending = mind(session, view)
        view.clear()
        view.say(last_line(ending, session))
    return ending.code


def check(session: Session) -> None:
    """Everything that would make a child fail at once.

    Raises:
        K2Error: What it is, and what to do.
    """
    from k2core.config.check import problems
    from k2core.config.validate import SectionError

    assembly = session.assembly
    if found := problems(session.config, session.registry):
        for section in session.config.sections:
            session.config.settings(section, session.registry)
        raise SectionError(found)
    assembly.need_connectors()
    for place in data_paths(session.config, session.registry):
        check_writable(place)
    check_port(session.config.api.host, session.config.api.port)
    with assembly.broker() as log:
        log.topics()


def forget_statuses(config: Config) -> None:
    """Remove what earlier processes said of themselves, so that nobody takes it for news."""
    for name in ORDER:
        with suppress(FileNotFoundError):
            (config.run.path / f"{name}.json").unlink()


def specs(session: Session, key: str | None) -> list[ChildSpec]:
    """The three children."""
    program = [sys.executable, "-m", "k2core.cli.main", *session.arguments()]
    port = session.overrides.get(("api", "port"))
    serve_options = ["--port", port] if port is not None else []
    keys = {"K2_API_KEY": key} if key else {}
    return [
        ChildSpec(name="ingest", command=[*program, "ingest"]),
        ChildSpec(name="write", command=[*program, "write"]),
        ChildSpec(name="serve", command=[*program, "serve", *serve_options], env=keys),
    ]


def api_key(session: Session, view: View) -> str | None:
    """The key to hand to serve: `K2_API_KEY` or the settings' own; else the first one is made, and shown once."""
    from k2core.api.keys import KeysFile

    api = session.config.api
    if api.key is not None:
        return api.key.get_secret_value()
    keys = KeysFile(api.keys_file)
    if api.auth and not keys.read():
        made = keys.make("first", session.clock)
        view.say(f"k2 up: this is the API's key; it is shown only now (k2 keys makes others): {made}")
    return None


def mind(session: Session, view: View) -> Ending:
    """Run the children until they are to stop."""
    config = session.config
    key = api_key(session, view)
    limits = Limits(wedged=config.run.wedged_s, drain=config.run.drain_s)
    host = f"[{config.api.host}]" if ":" in config.api.host else config.api.host
    where = f"http://{host}:{config.api.port}/v1" if config.api.port else "a free port, named below"
    view.say(f"k2 up: API on {where} · pid {os.getpid()} · Ctrl-C stops")
    return Supervisor(
        specs(session, key),
        folder=config.run.path,
        clock=session.assembly.clock,
        limits=limits,
        say=lambda line: view.say(f"k2 up: {line}"),
        relay=view.say,
        tick=view.tick,
    ).run()


def last_line(ending: Ending, session: Session) -> str:
    """How it ended, and what stays in the log."""
    cut = [name for name in ending.cut_short if name != "write"]
    text = f"k2 up: stopped{'; cut short: ' + ', '.join(cut) if cut else ''}"
    left = remaining(ending, session)
    return f"{text}; not committed, stays in the log for the next start: {left}" if left else text


def remaining(ending: Ending, session: Session) -> str:
    """What the writer could not commit in time: as it says itself, or where it was cut short or fenced, as log and tables say."""
    if "write" not in [*ending.cut_short, *ending.fenced]:
        status = read_statuses(session.config.run.path).get("write")
        left = status.facts.get("remaining", {}) if status else {}
        return ", ".join(f"{count:,} {name}" for name, count in left.items())
    from k2core.cli.lag import lags

    try:
        return ", ".join(f"{lag.records:,} {lag.data_type}" for lag in lags(session.assembly) if lag.records)
    except K2Error as error:
        return f"what lies beyond the tables ({error})"

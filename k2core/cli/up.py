"""`k2 up`: starts `k2 ingest`, `k2 write` and `k2 serve`, minds them, and stops them in order.

What would make a child fail at once is looked for before anything is started: wrong settings, a second `k2 up` on the
same data, a taken port, a folder that cannot be written, a log of a newer k2: exit code 2 and one line.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from k2core.broker.spans import lag_of
from k2core.cli.asking import LeftOut
from k2core.cli.child import ChildSpec
from k2core.cli.orphan import die_with_parent, is_minded
from k2core.cli.preflight import RunLock, check_dedup, check_port, check_writable, data_paths
from k2core.cli.session import Session, current
from k2core.cli.supervise import Ending, Limits, Supervisor
from k2core.cli.telling import telling
from k2core.cli.topics import consumer_name, existing_log, needed_topics, require_topics, specs_of
from k2core.cli.view import View
from k2core.errors import K2Error
from k2core.telemetry.status import Status, read_statuses

if TYPE_CHECKING:
    from k2core.config import Config
    from k2core.config.build import Assembly

ORDER = ("ingest", "write", "serve")
"""Children, in the order they are stopped: what one leaves in the log, the next still takes."""

CUT_BY_SIGNAL = 130

LEAST_S = 0.5
"""So long is waited for the log's own count at least, also when the time to stop is over."""


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
        for note in remarks(session):
            view.say(f"k2 up: note: {note}")
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
    with RunLock(session.config.run.path, "ingest"):
        pass  # nobody captures here already
    with assembly.broker() as log:
        if not log.makes_topics:
            require_topics(log, specs_of(needed_topics(assembly, log), assembly.data_types()))
        log.topics()
    check_dedup(assembly)


def remarks(session: Session) -> list[str]:
    """What stops nothing, but should be known: plugins that are left out, and settings that are probably not meant."""
    from k2core.config.notes import notes

    plugins = [e for e in session.registry.entries if e.kind == "plugin"]
    told = [f"plugin {e.provenance} {'is left out: it ' if e.state == 'broken' else ''}{e.error}" for e in plugins]
    return told + notes(session.config, session.registry, os.environ)


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


class Address:
    """Says where the API is, once it answers, and again where that has changed.

    Args:
        host: What it listens on.
        say: Says a line.
    """

    def __init__(self, host: str, say: Callable[[str], None]) -> None:
        self._host, self._say = f"[{host}]" if ":" in host else host, say
        self._said = 0

    def tick(self, statuses: dict[str, Status]) -> None:
        """Look whether there is something to say."""
        status = statuses.get("serve")
        port = int(status.facts.get("port", 0)) if status and status.state == "running" else 0
        if port and port != self._said:
            self._said = port
            self._say(f"API on http://{self._host}:{port}/v1")


def mind(session: Session, view: View) -> Ending:
    """Run the children until they are to stop."""
    config = session.config
    key = api_key(session, view)
    limits = Limits(wedged=config.run.wedged_s, drain=config.run.drain_s)
    view.say(f"k2 up: pid {os.getpid()} · Ctrl-C stops")
    left_out = LeftOut(lambda line: view.say(f"k2 up: {line}"))
    address = Address(config.api.host, lambda line: view.say(f"k2 up: {line}"))

    def tick(statuses: dict[str, Status]) -> None:
        left_out.tick(statuses)
        address.tick(statuses)
        view.tick(statuses)

    status = Status("up", os.getpid(), 0, "running")
    with telling("up", session, lambda: replace(status, at_ms=session.clock.now_ms())):
        return Supervisor(
            specs(session, key),
            folder=config.run.path,
            clock=session.assembly.clock,
            limits=limits,
            say=lambda line: view.say(f"k2 up: {line}"),
            relay=view.say,
            tick=tick,
            metrics=session.assembly.metrics,
        ).run()


def last_line(ending: Ending, session: Session) -> str:
    """How it ended, and what stays in the log."""
    cut = [name for name in ending.cut_short if name != "write"]
    text = f"k2 up: stopped{'; cut short: ' + ', '.join(cut) if cut else ''}"
    left = remaining(ending, session)
    return f"{text}; not committed, stays in the log for the next start: {left}" if left else text


def remaining(ending: Ending, session: Session) -> str:
    """What the writer could not commit in time: as it says itself, or where it was cut short or fenced, as the log says.

    Takes no longer than what is left of the time to stop: who froze a child may have frozen a disk.
    """
    if "write" not in [*ending.cut_short, *ending.fenced]:
        status = read_statuses(session.config.run.path).get("write")
        left = status.facts.get("remaining", {}) if status else {}
        return ", ".join(f"{count:,} {name}" for name, count in left.items())
    found: list[str] = []

    def look() -> None:
        try:
            counts = uncommitted(session.assembly)
        except (K2Error, OSError) as error:
            found.append(f"what lies beyond the tables ({error})")
        else:
            found.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))

    looking = threading.Thread(target=look, name="remaining", daemon=True)
    looking.start()
    looking.join(max(LEAST_S, ending.deadline - session.clock.monotonic()))
    return found[0] if found else "what lies beyond the tables (`k2 lag` counts it)"


def uncommitted(assembly: Assembly) -> dict[str, int]:
    """By data type, records that the first sink's tables have not released: from the log alone, which opens in no time.

    Raises:
        K2Error: The log cannot be read.
    """
    with existing_log(assembly) as log:
        known, sink = log.consumers(), assembly.config.sinks[0].instance
        found = {}
        for name, data_type in assembly.data_types().items():
            consumer = known.get(consumer_name(sink, data_type)) if data_type.table else None
            if consumer is not None:
                topics = sorted({topic for topic, _ in consumer.released})
                found[name] = sum(lag_of(log.ends(topics), consumer.released).values())
    return {name: count for name, count in found.items() if count}

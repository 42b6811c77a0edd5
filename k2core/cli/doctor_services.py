"""What `k2 doctor` asks of the log, the dedup store and the tables, and of what stands behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from k2core.cli.history import check_tables
from k2core.cli.looking import Look
from k2core.cli.session import Session
from k2core.cli.topics_command import wanted_specs
from k2core.errors import TopicChangedError
from k2core.interfaces.broker import TopicChange
from k2core.interfaces.checks import Finding


def service_looks(session: Session) -> list[Look]:
    """One look a part; each opens what it needs for itself, for any of them may never come back."""
    away = "start the server that [{0}] in k2.toml names, or correct its address there"
    file = "pip install --upgrade k2core, or set broker.path to a new file"
    embedded = session.config.broker.use == "embedded"
    return [
        Look("broker", lambda: broker(session), away.format("broker")),
        Look("log", lambda: log(session), file if embedded else away.format("broker"), upon="broker"),
        Look("history", lambda: history(session), "run k2 doctor again", after="log", may_miss=True),
        Look("dedup", lambda: dedup(session), away.format("dedup")),
        Look("tables", lambda: tables(session), "restore the warehouse from a backup, or set its path to a new folder"),
    ]


def broker(session: Session) -> Iterator[Finding]:
    """What the log itself says of what stands behind it."""
    yield from session.assembly.broker().findings()


def dedup(session: Session) -> Iterator[Finding]:
    """What the dedup store says of what stands behind it."""
    store = session.assembly.dedup()
    try:
        yield from store.findings()
    finally:
        store.close()


def log(session: Session) -> Iterator[Finding]:
    """Whether the log opens, is of a version that this k2 reads, and has what these settings need."""
    opened = session.assembly.broker()
    if not opened.exists():
        yield Finding("log", True, "none yet: `k2 up` makes it")
        return
    with opened:
        yield Finding("log", True, f"{len(opened.topics())} topics")
        wanted = wanted_specs(session.assembly, opened)
        changes = [c for c in opened.plan(wanted) if c.refused or not opened.makes_topics]
    yield from topics(changes, session.spelled("topics apply"))
    if not changes and not opened.makes_topics:
        yield Finding("topics", True, f"{len(wanted)} are there, with our settings and schemas")


def topics(changes: Iterable[TopicChange], apply: str) -> Iterator[Finding]:
    """Each difference, with the command that removes it; what is missing altogether as one."""
    missing: Counter[str] = Counter()
    first: dict[str, str] = {}
    for change in changes:
        name, wanted = f"{change.kind} {change.name}", f"{change.have or 'missing'}, wanted: {change.want}"
        if change.refused:
            yield Finding(name, False, change.refused, "the message says what; nothing was changed")
        elif not change.have:
            missing[change.kind] += 1
            first.setdefault(change.kind, change.name)
        else:
            yield Finding(name, False, wanted, apply)
    for kind, count in missing.items():  # before the first `k2 topics apply` all of them are
        yield Finding(f"{kind} missing", False, f"{count}, the first: {first[kind]}", apply)


def history(session: Session) -> Iterator[Finding]:
    """Whether the log is the one that fed the tables."""
    if not session.assembly.broker().exists():
        return
    try:
        check_tables(session.assembly)
    except TopicChangedError as error:
        yield Finding("history", False, str(error), "docs/operations.md, A log was replaced")
    else:
        yield Finding("history", True, "the log is the one that fed the tables")


def tables(session: Session) -> Iterator[Finding]:
    """Whether the tables can be read."""
    types = [t for t in session.assembly.data_types().values() if t.table]
    with session.assembly.query_source() as source:
        held = [str(t.table) for t in types if source.table(t).newest().id is not None]
    yield Finding("tables", True, ", ".join(held) or "empty so far")

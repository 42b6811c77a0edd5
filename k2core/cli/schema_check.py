"""What `k2 schema check` looks at: lineages within themselves, against a log or its registry, against exported files.

Survives a file that is no schema, and a data type whose schema cannot be made: each is told, the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k2core.avro.compatibility import differences, unreadable
from k2core.cli.session import Session
from k2core.cli.topics_command import wanted_specs
from k2core.discovery.registry import Entry
from k2core.errors import ConfigError, SchemaError
from k2core.interfaces.checks import Finding
from k2core.records.data_type import DataType

KINDS = ("subject", "compatibility")
ADD = "leave what was there as it was, and add a nullable column with `since` of a new version instead"


def own_lineages(session: Session) -> Iterator[Finding]:
    """Whether every version of every data type reads all before it."""
    for name, entry in session.registry.usable("data-type").items():
        wrong = list(_within(name, entry))
        yield from wrong
        if not wrong:
            count = entry.component.versions
            text = "one version" if count == 1 else f"{count} versions, each reads all before it"
            yield Finding(f"data type {name}", True, f"{text} ({entry.provenance})")


def _within(name: str, entry: Entry) -> Iterator[Finding]:
    kind: DataType = entry.component
    for newer in range(1, kind.versions + 1):
        try:
            found = [text for older in range(1, newer + 1) for text in unreadable(*_pair(kind, newer, older))]
        except SchemaError as error:
            found = [str(error)]
        if found:
            where = f"data type {name} v{newer}"
            yield Finding(where, False, f"{'; '.join(dict.fromkeys(found))} ({entry.provenance})", ADD)


def _pair(kind: DataType, newer: int, older: int) -> tuple[Any, Any]:
    return kind.avro_schema(newer), kind.avro_schema(older)


def in_log(session: Session) -> Iterator[Finding]:
    """What the log, or its registry, has of every subject that these settings need.

    Raises:
        K2Error: The log or the registry does not answer.
    """
    opened = session.assembly.broker()
    if not opened.exists():
        yield Finding("log", True, "there is none yet, so nothing there can be incompatible")
        return
    with opened:
        wanted = wanted_specs(session.assembly, opened)
        changes = [change for change in opened.plan(wanted) if change.kind in KINDS]
    for change in changes:
        have = change.have or "nothing"
        detail = (
            change.refused or f"{have} there, {change.want} here: fits, `{session.spelled('topics apply')}` makes it so"
        )
        yield Finding(f"{change.kind} {change.name}", not change.refused, detail, ADD if change.refused else "")
    if not any(change.refused for change in changes):
        yield Finding("log", True, f"{len(wanted)} subjects compared, all fit")


def against(session: Session, path: Path) -> Iterator[Finding]:
    """What exported schemas say: each must be of a lineage here, and unchanged, or records of it could not be told.

    Raises:
        ConfigError: There is no such file, or no schema in the folder.
    """
    files = sorted(path.rglob("*.avsc")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise ConfigError(
            f"{path}: there is no schema (*.avsc); `k2 schema export {path}` of the version that runs writes some"
        )
    known = {
        str(entry.component.avro_schema(n)["name"]): (entry, n)
        for entry in session.registry.usable("data-type").values()
        for n in range(1, entry.component.versions + 1)
    }
    for file in files:
        yield _of_file(file, known)


def _of_file(file: Path, known: dict[str, tuple[Entry, int]]) -> Finding:
    try:
        theirs = json.loads(file.read_text("utf-8"))
        unreadable(theirs, theirs)
        name = str(theirs["name"]).rpartition(".")[2]
    except (OSError, ValueError, KeyError, TypeError, SchemaError) as error:
        return Finding(str(file), False, f"cannot be read: {error}", "export it again with `k2 schema export`")
    if name not in known:
        newest = ", ".join(sorted(known))
        do = "upgrade k2 or the plugin that offers it here, or leave this file out"
        return Finding(str(file), False, f"no data type here has a schema {name}; there are: {newest}", do)
    entry, version = known[name]
    kind: DataType = entry.component
    ours = kind.avro_schema(version)
    if ours == theirs:
        return Finding(str(file), True, f"{kind.name} v{version}, unchanged")
    wrong = "; ".join(differences(theirs, ours))
    return Finding(str(file), False, f"{kind.name} v{version} was changed in place: {wrong} ({entry.provenance})", ADD)

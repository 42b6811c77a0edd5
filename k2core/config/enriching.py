"""What `[enrichers.NAME]` asks for: enrichers, the data types they extend, and whether they can live together.

An enricher is named by its section; two that add a column of one name, or a name that the table has already, are an
error at start: a row could keep only one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from k2core.errors import ConfigError, PluginError
from k2core.interfaces.enricher import Enricher
from k2core.records.data_type import Column, DataType

KINDS = ("string", "long", "double")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriching:
    """One enricher that the settings name.

    Args:
        section: Its section, as `enrichers.notional`.
        instance: The section's name.
        provenance: Who offers it.
        enricher: It.
        active: Whether it runs; its columns stay in the table either way.
    """

    section: str
    instance: str
    provenance: str
    enricher: Enricher
    active: bool = True


def check_enricher(one: Enriching) -> None:
    """Whether an enricher is one, and declares columns that a table can hold.

    Raises:
        PluginError: It is not, or does not.
    """
    who = f"{one.section} ({one.provenance})"
    if not isinstance(one.enricher, Enricher):
        raise PluginError(f"{who}: its factory made a {type(one.enricher).__name__}, not an Enricher")
    columns = getattr(one.enricher, "columns", None)
    if not isinstance(getattr(one.enricher, "data_type", None), str) or not isinstance(columns, tuple) or not columns:
        raise PluginError(f"{who}: an enricher declares `data_type`, a text, and `columns`, a tuple of Column")
    for column in columns:
        if not isinstance(column, Column):
            raise PluginError(f"{who}: `columns` holds a {type(column).__name__}, not a Column")
        if not column.nullable or column.kind not in KINDS or not _NAME.fullmatch(column.name):
            raise PluginError(
                f"{who}: column {column.name!r} must be nullable, of kind {', '.join(KINDS)}, and named {_NAME.pattern}"
            )


def extended(data_types: Mapping[str, DataType], enriching: Iterable[Enriching]) -> dict[str, DataType]:
    """Data types with the columns that enrichers add to their tables.

    Raises:
        ConfigError: Two have a column of one name, or there is no such data type with a table.
    """
    found = dict(data_types)
    for name, ones in _by_data_type(enriching).items():
        kind = found.get(name)
        if kind is None or kind.table is None:
            tables = ", ".join(sorted(n for n, t in found.items() if t.table))
            raise ConfigError(f"{ones[0].section}: enriches {name!r}, which has no table here; tables: {tables}")
        found[name] = kind.with_added(_columns(kind, ones))
    return found


def _by_data_type(enriching: Iterable[Enriching]) -> dict[str, list[Enriching]]:
    found: dict[str, list[Enriching]] = {}
    for one in enriching:
        found.setdefault(one.enricher.data_type, []).append(one)
    return found


def _columns(kind: DataType, ones: Iterable[Enriching]) -> Iterator[Column]:
    owners = dict.fromkeys(kind.table_schema.names, f"every row of {kind.table}")
    for one in ones:
        for column in one.enricher.columns:
            if column.name in owners:
                raise ConfigError(
                    f"{one.section} ({one.provenance}): column {column.name!r} belongs to {owners[column.name]} already: "
                    "remove one, or rename its column where its settings can"
                )
            owners[column.name] = one.section
            yield column

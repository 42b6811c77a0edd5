"""The demo's proof: the tables, read with pyiceberg alone, compared field by field with what the exchange sent.

Nothing of k2 reads here: a fault in its own readers could not hide a fault in its writers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.errors import PluginError

if TYPE_CHECKING:
    from k2core.records.data_type import DataType

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What comparing one table with what was sent shows.

    Args:
        data_type: Its name.
        issued: Distinct records sent.
        stored: Rows in the table.
        duplicates: Rows beyond the first of their identity.
        missing: Records sent that are not in the table.
        foreign: Identities in the table that were never sent.
        different: Rows with another value in some field; `example` shows one.
        commits: Snapshots of the table.
        example: One difference, for people.
    """

    data_type: str
    issued: int
    stored: int
    duplicates: int
    missing: int
    foreign: int
    different: int
    commits: int
    example: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything sent is stored exactly once, equal in every field, and nothing else is."""
        return self.issued == self.stored and not (self.duplicates or self.missing or self.foreign or self.different)


def open_catalog(warehouse: Path) -> Any:
    """The demo's catalog, opened as anybody with pyiceberg would.

    Raises:
        PluginError: pyiceberg is not installed.
    """
    try:
        from pyiceberg.catalog.sql import SqlCatalog
    except ImportError as error:
        raise PluginError("the demo reads its tables with pyiceberg: try `pip install k2-plugin-iceberg`") from error
    return SqlCatalog("k2", uri=f"sqlite:///{warehouse / 'catalog.db'}", warehouse=str(warehouse))


def stored_rows(warehouse: Path, tables: Sequence[str]) -> int:
    """Rows of all tables together, by their newest snapshots; tables that do not exist yet count as empty."""
    catalog, rows = open_catalog(warehouse), 0
    try:
        for name in tables:
            snapshot = catalog.load_table(name).current_snapshot() if catalog.table_exists(name) else None
            rows += int(snapshot.summary["total-records"]) if snapshot else 0
    finally:
        catalog.close()
    return rows


def prove(warehouse: Path, data_type: DataType, issued: Sequence[Record]) -> Proof:
    """Read one table and compare."""
    catalog = open_catalog(warehouse)
    try:
        exists = catalog.table_exists(data_type.table)
        table = catalog.load_table(data_type.table) if exists else None
        rows = table.scan().to_arrow().to_pylist() if table else []
        commits = len(table.metadata.snapshots) if table else 0
    finally:
        catalog.close()
    return compare(data_type.name, str(data_type.id_column), issued, rows, commits)


def compare(name: str, id_column: str, issued: Sequence[Record], rows: Sequence[Record], commits: int) -> Proof:
    """Compare records sent with rows stored, by identity and then field by field."""

    def identity(record: Record) -> tuple[Any, ...]:
        return record["exchange"], record["symbol"], record[id_column]

    wanted = {identity(record): record for record in issued}
    counts = Counter(identity(row) for row in rows)
    different, example = 0, ""
    for row in rows:
        record = wanted.get(identity(row), {})
        wrong = {key: (value, row.get(key)) for key, value in record.items() if row.get(key) != value}
        if wrong:
            different += 1
            example = example or f"{identity(row)}: {wrong}"
    return Proof(
        data_type=name, issued=len(wanted), stored=len(rows), duplicates=sum(counts.values()) - len(counts),
        missing=len(wanted.keys() - counts.keys()), foreign=len(counts.keys() - wanted.keys()),
        different=different, commits=commits, example=example,
    )  # fmt: skip

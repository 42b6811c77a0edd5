"""Opening the SQL catalog, and the one step that makes anything visible: `LakeCatalog.swap`.

A swap is a compare-and-swap of a table's metadata location in one SQL statement: whoever prepared new metadata from
older metadata changes nothing. Survived: other processes committing at the same time (one of them loses and sees it),
`kill -9` before, in and after the statement, a power cut (SQLite runs with synchronous=FULL).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy.exc import SQLAlchemyError

from k2_plugin_iceberg.files import make_folder
from k2_plugin_iceberg.location import table_name
from k2core.plugin import DataType, SinkError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from k2_plugin_iceberg.settings import IcebergSettings

FILE_IO = "k2_plugin_iceberg.files.SyncedFileIO"


class LakeCatalog(SqlCatalog):
    """pyiceberg's SQL catalog (its tables are those of Iceberg's JDBC catalog V1), with a bare compare-and-swap."""

    def location(self, table: tuple[str, str]) -> str | None:
        """Where a table's newest metadata lies; None where there is no such table."""
        with self.engine.connect() as link:
            found: str | None = link.execute(select(IcebergTables.metadata_location).where(*self._row(table))).scalar()
        return found

    def swap(
        self, table: tuple[str, str], old: str, new: str, also: Callable[[Connection], bool] | None = None
    ) -> bool:
        """Point a table to `new`, if it still points to `old`; the one step that makes a commit visible.

        Args:
            table: Namespace and name.
            old: Where it must point.
            new: Where it is to point.
            also: Done in the same transaction; where it says False, nothing happens.

        Returns:
            False where it points elsewhere by now; nothing happened then.

        Raises:
            SQLAlchemyError: The outcome is unknown.
        """
        where = (*self._row(table), IcebergTables.metadata_location == old)
        change = update(IcebergTables).where(*where).values(metadata_location=new, previous_metadata_location=old)
        with self.engine.connect() as link, link.begin() as step:
            done = link.execute(change).rowcount == 1 and (also is None or also(link))
            if not done:
                step.rollback()
        return done

    def brief_engine(self, busy_s: float) -> Engine:
        """For what need not outlive a power cut: where that is cheaper, an engine whose commits wait for no disk."""
        if self.engine.dialect.name != "sqlite":
            return self.engine
        engine = create_engine(self.engine.url)
        _prepare_sqlite(engine, busy_s, "NORMAL")
        return engine

    def _row(self, table: tuple[str, str]) -> tuple[Any, ...]:
        return (
            IcebergTables.catalog_name == self.name,
            IcebergTables.table_namespace == table[0],
            IcebergTables.table_name == table[1],
        )


PAUSE_S = 0.02


def open_catalog(settings: IcebergSettings) -> LakeCatalog:
    """Open the catalog, creating its folder and tables where missing. Safe to use from several threads.

    Raises:
        SinkError: It cannot be opened.
    """
    try:
        make_folder(settings.root)
        properties = {"uri": settings.uri, "warehouse": f"file://{settings.root}", "py-io-impl": FILE_IO}
        catalog = LakeCatalog(settings.catalog_name, **properties, init_catalog_tables="false")
        if catalog.engine.dialect.name == "sqlite":
            _prepare_sqlite(catalog.engine, settings.catalog_busy_s, "FULL")
        _create_tables(catalog)
    except (OSError, SQLAlchemyError) as error:
        raise SinkError(
            f"Iceberg catalog {settings.uri} cannot be opened: {error}; check the folder's permissions and free space"
        ) from error
    return catalog


def _prepare_sqlite(engine: Engine, busy_s: float, synchronous: str) -> None:
    """Readers beside writers (WAL), commits that survive a power cut (FULL), bounded waiting for the write lock."""

    def connected(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={int(busy_s * 1000)}")
        _go_over_to_wal(connection, busy_s)
        connection.execute(f"PRAGMA synchronous={synchronous}")

    event.listen(engine, "connect", connected)
    engine.dispose()


def _go_over_to_wal(connection: Any, busy_s: float) -> None:
    """SQLite itself waits for nobody here, whatever its `busy_timeout`: it is asked again for as long."""
    until = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(PAUSE_S)


def _create_tables(catalog: LakeCatalog) -> None:
    """Two processes that start at once both find no tables and both create them; the loser looks again."""
    for last in (False, False, True):
        try:
            catalog.create_tables()
        except SQLAlchemyError:
            if last:
                raise
        else:
            break
    catalog._init_catalog()  # looks again whether the catalog is of JDBC schema V0 or V1


def load_or_none(catalog: Catalog, data_type: DataType) -> Table | None:
    """Load a data type's table, or None while nobody created it."""
    try:
        return catalog.load_table(table_name(data_type))
    except NoSuchTableError:
        return None

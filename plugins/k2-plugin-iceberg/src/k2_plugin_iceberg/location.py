"""Where a table's newest metadata lies: the one question that every query asks of the catalog.

A catalog in SQLite is asked with Python's own driver: it answers ten times as fast as through sqlalchemy, whose import
alone takes a quarter of a second of every `k2 query`. Survived: a writer that holds the lock (waited for, bounded), a
catalog whose tables are not made yet (there is no table), a read-only disk.
"""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from k2core.plugin import DataType, SinkError

if TYPE_CHECKING:
    from k2_plugin_iceberg.settings import IcebergSettings

Name = tuple[str, str]
_SQLITE = "sqlite:///"
_WHERE = (
    "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?"
)


class Locations(ABC):
    """Tells locations of metadata. Any number of threads."""

    @abstractmethod
    def location(self, table: Name) -> str | None:
        """Where a table's newest metadata lies; None where there is no such table.

        Raises:
            SinkError: The catalog cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the catalog."""


def open_locations(settings: IcebergSettings) -> Locations:
    """Open a catalog for reading.

    Raises:
        SinkError: It cannot be opened.
    """
    path = settings.uri.removeprefix(_SQLITE)
    plain = path != settings.uri and "?" not in path and path not in ("", ":memory:")
    return _Sqlite(path, settings) if plain else _Other(settings)


class _Sqlite(Locations):
    def __init__(self, path: str, settings: IcebergSettings) -> None:
        self._name, self._lock = settings.catalog_name, threading.Lock()
        try:  # rw never makes the file, and falls back to reading where writing is not allowed
            self._link = sqlite3.connect(
                f"file:{quote(path)}?mode=rw", uri=True, timeout=settings.catalog_busy_s, check_same_thread=False,
                isolation_level=None,
            )  # fmt: skip
        except sqlite3.Error as error:
            raise SinkError(f"{path} cannot be opened: {error}; check the folder and its permissions") from error

    def location(self, table: Name) -> str | None:
        try:
            with self._lock:
                row = self._link.execute(_WHERE, (self._name, *table)).fetchone()
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
                return None
            raise SinkError(str(error)) from error
        return str(row[0]) if row else None

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._link.close()


class _Other(Locations):
    def __init__(self, settings: IcebergSettings) -> None:
        from k2_plugin_iceberg.catalog import open_catalog

        self._catalog = open_catalog(settings)

    def location(self, table: Name) -> str | None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self._catalog.location(table)
        except SQLAlchemyError as error:
            raise SinkError(str(error)) from error

    def close(self) -> None:
        self._catalog.close()


def table_name(data_type: DataType) -> Name:
    """Namespace and name of a data type's table.

    Raises:
        SinkError: The data type lives in the log alone.
    """
    if data_type.table is None:
        raise SinkError(f"data type {data_type.name} has no table: it lives in the log alone")
    namespace, _, name = data_type.table.rpartition(".")
    return namespace or "k2", name

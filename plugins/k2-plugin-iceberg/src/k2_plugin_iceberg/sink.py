"""`IcebergSink`: the tables of one warehouse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from k2core.plugin import Context, DataType, Sink, SinkTable

if TYPE_CHECKING:
    from k2_plugin_iceberg.catalog import LakeCatalog
    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.table import IcebergTable

WRITERS = 4


class IcebergSink(Sink):
    """Opens tables; the catalog is opened with the first one."""

    def __init__(self, settings: IcebergSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._tables: list[IcebergTable] = []

    def table(self, data_type: DataType) -> SinkTable:
        """The table of a data type, created where missing."""
        from k2_plugin_iceberg.table import IcebergTable

        opened = IcebergTable(self._catalog, data_type, self._settings, self._context, self._pool)
        self._tables.append(opened)
        return opened

    def exists(self) -> bool:
        """Whether there is a catalog."""
        return self._settings.is_there

    def close(self) -> None:
        """Close the catalog and end the threads that write files."""
        while self._tables:
            self._tables.pop().close()
        if "_pool" in self.__dict__:
            self._pool.shutdown()
        if "_catalog" in self.__dict__:
            self._catalog.close()

    @cached_property
    def _catalog(self) -> LakeCatalog:
        from k2_plugin_iceberg.catalog import open_catalog

        return open_catalog(self._settings)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(WRITERS, thread_name_prefix="k2-iceberg")

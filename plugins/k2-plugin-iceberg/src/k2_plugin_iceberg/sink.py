"""`IcebergSink`: the tables of one warehouse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from k2core.plugin import Context, DataType, Sink, SinkTable

if TYPE_CHECKING:
    from k2_plugin_iceberg.catalog import LakeCatalog
    from k2_plugin_iceberg.settings import IcebergSettings

WRITERS = 4


class IcebergSink(Sink):
    """Opens tables; the catalog is opened with the first one."""

    def __init__(self, settings: IcebergSettings, context: Context) -> None:
        self._settings, self._context = settings, context

    def table(self, data_type: DataType) -> SinkTable:
        """The table of a data type, created where missing."""
        from k2_plugin_iceberg.table import IcebergTable

        return IcebergTable(self._catalog, data_type, self._settings, self._context, self._pool)

    def close(self) -> None:
        """Close the catalog and end the threads that write files."""
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

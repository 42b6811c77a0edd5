"""The Iceberg sink keeps every MUST of a sink; pyiceberg alone reads what it stored."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import OperationalError

from k2core.plugin import Clock, Context, DataType, Metrics, Sink
from k2core.testing import SinkSuite


class TestIcebergSink(SinkSuite):
    processes = True
    adds_columns = True
    loses_replies = True

    def open(self, place: Path, clock: Clock) -> Sink:
        context = Context(clock=clock, logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
        return IcebergSink(IcebergSettings(warehouse=place / "lake", slice_settle_s=0, commit_attempts=20), context)

    def read(self, place: Path, data_type: DataType) -> pa.Table:
        catalog = SqlCatalog("k2", uri=f"sqlite:///{place}/lake/catalog.db")
        try:
            return catalog.load_table(data_type.table or "").scan().to_arrow()
        finally:
            catalog.close()

    @contextlib.contextmanager
    def losing_reply(self, table: Any, *, lands: bool) -> Iterator[None]:
        catalog = table._state._catalog
        table._state._catalog = Deaf(catalog, lands)
        yield
        table._state._catalog = catalog


class Deaf:
    """A catalog that loses one reply, and then cannot be reached."""

    def __init__(self, catalog: Any, lands: bool) -> None:
        self.catalog, self.lands, self.lost = catalog, lands, False

    def location(self, table: Any) -> Any:
        if self.lost:
            raise OperationalError("select", {}, Exception("no route"))
        return self.catalog.location(table)

    def swap(self, table: Any, old: str, new: str) -> bool:
        if self.lands and not self.lost:
            assert self.catalog.swap(table, old, new)
        self.lost = True
        raise OperationalError("update", {}, Exception("the connection broke"))

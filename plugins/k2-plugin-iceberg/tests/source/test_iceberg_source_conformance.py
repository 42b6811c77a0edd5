"""The Iceberg source keeps every MUST of a query source, reading files directly and through DuckDB."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from k2_plugin_iceberg import scan as scanning
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.source import IcebergSource

from k2core.plugin import Clock, Context, Metrics, QuerySource, Sink
from k2core.testing import QuerySourceSuite


class TestIcebergSource(QuerySourceSuite):
    timeouts = True

    def open(self, place: Path, clock: Clock) -> QuerySource:
        return IcebergSource(*given(place, clock))

    def open_sink(self, place: Path, clock: Clock) -> Sink:
        return IcebergSink(*given(place, clock))

    @contextlib.contextmanager
    def slowed(self, table: Any) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanning.Scan, "_read", slow(scanning.Scan._read))
            yield


class TestIcebergSourceOnDuckDB(TestIcebergSource):
    """The same answers, with no file read directly."""

    timeouts = False

    @pytest.fixture(autouse=True)
    def only_duckdb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "DIRECT_ROWS", -1)


def slow(read: Any) -> Any:
    def later(*asked: Any) -> Any:
        time.sleep(0.15)
        return read(*asked)

    return later


def given(place: Path, clock: Clock) -> tuple[IcebergSettings, Context]:
    context = Context(clock=clock, logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
    return IcebergSettings(warehouse=place / "lake", slice_settle_s=0), context

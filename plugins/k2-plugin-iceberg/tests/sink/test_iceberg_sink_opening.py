"""Opening a catalog beside others."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from k2_plugin_iceberg.catalog import open_catalog
from k2_plugin_iceberg.settings import IcebergSettings


def test_a_new_catalog_that_somebody_else_writes_is_waited_for(tmp_path: pathlib.Path) -> None:
    """SQLite waits for nobody while it goes over to WAL: a writer ended beside another first reader of the catalog."""
    other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    with contextlib.closing(other), ThreadPoolExecutor(1) as pool:
        other.execute("create table somebody (text)")
        other.execute("begin immediate")
        other.execute("insert into somebody values ('x')")
        opening = pool.submit(open_catalog, IcebergSettings(warehouse=tmp_path, catalog_busy_s=60))
        with pytest.raises(TimeoutError):
            opening.result(1)
        other.execute("commit")
        opening.result(60).close()

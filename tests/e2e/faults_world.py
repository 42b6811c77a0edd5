"""A lake that the log is written to while something goes wrong, and the oracle that every fault ends with.

A lake has tables, a group, a Redis prefix and settings of its own, so that a fault spoils nothing for the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink

from k2core.clock import SystemClock
from k2core.component import Context
from k2core.interfaces.broker import Offsets, Partition
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import read_statuses
from k2core.testing.oracle import compare
from tests.e2e.capture import COLUMNS, wait_until
from tests.e2e.command import run_k2
from tests.e2e.faults_log import KINDS, LIMIT_S, Log

LAKE = """[broker]
use = "kafka"
bootstrap_servers = "{kafka}"
schema_registry_url = "{registry}"
replication_factor = 1
session_timeout_s = 1.5
answer_timeout_s = 3
schema_registry_timeout_s = 1
group_prefix = "{name}"
{broker}
[dedup]
use = "redis"
url = "{redis}"
prefix = "{name}"
timeout_ms = 500
retry_s = 0.2
retry_longest_s = 0.5
{dedup}
[sinks.lake]
use = "iceberg"
warehouse = "data/warehouse"
{lake}
[writer]
commit_interval_s = {commit_s}
min_commit_interval_s = {commit_s}
retry_longest_s = 1
"""


class Lake:
    """A table of each data type, its writers, and what they say.

    Args:
        log: What is written.
        folder: Settings, tables, run folders.
        commit_s: Between two commits.
        broker: Further lines of `[broker]`; of `dedup` and `lake` the same.
    """

    def __init__(
        self, log: Log, folder: pathlib.Path, *, commit_s: float = 0.5, broker: str = "", dedup: str = "",
        lake: str = "", redis: str = "",
    ) -> None:  # fmt: skip
        self.log, self.folder, services = log, folder, log.services
        self.settings = folder / "k2.toml"
        self.settings.write_text(LAKE.format(
            kafka=services.kafka.bootstrap_servers, registry=services.registry.url, redis=redis or services.redis.url,
            name=folder.name, commit_s=commit_s, broker=broker, dedup=dedup, lake=lake,
        ))  # fmt: skip
        self.writers: list[subprocess.Popen[bytes]] = []
        self._sink: IcebergSink | None = None
        self._tables: list[Any] = []
        self.whole = False

    def writer(
        self, *program: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None, run: str = ""
    ) -> subprocess.Popen[bytes]:
        """One more `k2 write`, with a run folder of its own."""
        name = run or f"run-{len(self.writers)}"
        asked = [*before, sys.executable, "-m", *(program or ("k2core.cli.main",)), "--config", str(self.settings)]
        with (self.folder / f"{len(self.writers)}.out").open("wb") as out:
            given = os.environ | {"K2_RUN__PATH": str(self.folder / name)} | (env or {})
            started = subprocess.Popen([*asked, "write"], stdout=out, stderr=out, env=given, cwd=REPOSITORY)
        self.writers.append(started)
        return started

    def command(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return run_k2(self.settings, *arguments, within_s=LIMIT_S, **env)

    def output(self) -> str:
        """What all writers said."""
        return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted(self.folder.glob("*.out")))

    def said(self, what: str) -> int:
        return self.output().count(what)

    def says(self, what: str, more_than: int = 0) -> None:
        """Wait until the writers said something more often than that."""
        self.until(f"it says {what!r}", lambda: self.said(what) > more_than)

    def until(self, what: str, holds: Any) -> None:
        try:
            wait_until(what, holds, LIMIT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()[-8000:]}") from None

    def value(self, metric: str, run: str = "run-0", **labels: str) -> float:
        """A metric of a writer, as its status file has it."""
        status = read_statuses(self.folder / run).get("write")
        return status.value(metric, **labels) if status else 0.0

    def head(self) -> dict[Partition, int]:
        """Next offsets, as the tables have them."""
        if self._sink is None:
            context = Context(clock=SystemClock(), logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
            self._sink = IcebergSink(IcebergSettings(warehouse=self.folder / "data" / "warehouse"), context)
            self._tables = [self._sink.table(kind) for kind in KINDS.values()]
        heads = [table.head() for table in self._tables]
        assert not any(head.shed or head.gone for head in heads)
        return {place: offset for head in heads for place, offset in head.offsets.items()}

    def reaches(self, ends: Offsets) -> None:
        """Wait until all below some ends is in the tables."""

        def reached() -> bool:
            head = self.head()
            return all(head.get(place, 0) >= end for place, end in ends.items())

        self.until("the tables have what the log had", reached)

    def goes_on(self) -> None:
        """What the log has by now comes to be stored: whoever had a partition, somebody writes it."""
        self.reaches(self.log.ends())

    def check_exact(self, ends: Offsets | None = None) -> None:
        """The oracle: nothing accepted is missing, nothing is twice, all values equal, what was refused is a letter.

        Args:
            ends: Up to where; by default up to the log's end as it is now, once that is stored.
        """
        ends = ends or self.log.ends()
        self.reaches(ends)
        for name in ("trades", "quotes"):
            accepted = self.log.accepted(name, ends)
            rows = self._rows(name, ends)
            verdict = compare(accepted, rows, COLUMNS[name])
            assert verdict.ok, f"{name}: {verdict}\n{self.output()[-8000:]}"
            assert verdict.issued > 100
            places = Counter(
                zip(*(rows.column(c).to_pylist() for c in ("topic", "log_partition", "log_offset")), strict=True)
            )
            assert max(places.values()) == 1
        refused, letters = self.log.origins(ends), self.log.dead(ends)
        assert refused - self.log.letters_gone <= letters <= refused
        self.whole = True

    def members(self) -> int:
        """Writers that Kafka knows to share the trades."""
        admin = AdminClient({"bootstrap.servers": self.log.services.kafka.bootstrap_servers})
        group = f"{self.folder.name}.lake.market.trades"
        return len(admin.describe_consumer_groups([group])[group].result(LIMIT_S).members)

    @contextlib.contextmanager
    def catalog_locked(self) -> Iterator[None]:
        """Somebody else has the catalog's write lock, and keeps it."""
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "warehouse" / "catalog.db", LIMIT_S)) as other:
            other.isolation_level = None
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def ends_well(self, *writers: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and all is put away in order."""
        for one in writers:
            one.terminate()
        for one in writers:
            assert one.wait(LIMIT_S) == 0, self.output()[-8000:]

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
        for one in self.writers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, 18)
            one.kill()
            one.wait(10)

    def _rows(self, name: str, ends: Offsets) -> Any:
        """The table's rows of records below some ends, read with pyiceberg alone."""
        import pyarrow as pa
        from pyiceberg.catalog.sql import SqlCatalog

        warehouse = self.folder / "data" / "warehouse"
        catalog = SqlCatalog("k2", uri=f"sqlite:///{warehouse / 'catalog.db'}", warehouse=str(warehouse))
        try:
            rows = catalog.load_table(f"market.{name}").scan().to_arrow()
        finally:
            catalog.close()
        places = zip(*(rows.column(c).to_pylist() for c in ("topic", "log_partition", "log_offset")), strict=True)
        return rows.filter(pa.array([offset < ends.get((t, p), 0) for t, p, offset in places]))


REPOSITORY = pathlib.Path(__file__).parents[2]

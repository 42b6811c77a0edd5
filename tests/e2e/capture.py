"""A whole k2 on loopback: a local Binance, a `k2.toml`, and its processes, to be killed and counted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from k2_plugin_binance.local import LocalBinance
from k2_plugin_binance.settings import LocalBinanceSettings

from k2core.cli.demo_exchange import ExchangeThread, free_port, write_settings
from k2core.telemetry.status import read_statuses
from k2core.testing.oracle import OracleReport, compare

COLUMNS = {
    "trades": ("symbol", "exchange", "exchange_timestamp_ms", "price", "quantity", "side", "trade_id", "sequence_num"),
    "quotes": ("symbol", "exchange", "bid_price", "bid_quantity", "ask_price", "ask_quantity", "update_id"),
}


def tape(**changed: Any) -> LocalBinanceSettings:
    """The recordings where `K2_RECORDINGS` names them, else a generated tape; every n-th frame twice either way."""
    recordings = os.environ.get("K2_RECORDINGS")
    given: dict[str, Any] = {"double_every": 7, "malformed": 2, "trades": 6000, "seconds": 8}
    if recordings:
        given |= {"recordings": recordings, "rate": 6000}
    return LocalBinanceSettings(**given | changed)


@dataclass
class Capture:
    """One installation in a folder. Processes are started by name; all are ended with the context."""

    folder: pathlib.Path
    exchange: ExchangeThread
    settings: pathlib.Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """Start `k2 COMMAND…`; its output goes to a file named for the command."""
        out = (self.folder / f"{command[0]}.out").open("ab")
        asked = [sys.executable, "-m", "k2core.cli.main", "--config", str(self.settings), *command]
        started = subprocess.Popen(asked, stdout=out, stderr=out, env=os.environ | env, cwd=self.folder)
        out.close()
        self.running.append(started)
        return started

    def begun(self, command: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process says that it starts: it hears signals then, and before that one would just end it."""
        run = self.folder / "data" / "run"

        def says_so() -> bool:
            status = read_statuses(run).get(command)
            return status is not None and status.pid == process.pid

        wait_until(f"{command} starts", says_so, alive=process)

    def output(self, command: str) -> str:
        """What a command has said so far."""
        return (self.folder / f"{command}.out").read_text()

    def rows(self, name: str) -> pa.Table:
        """The table, read with pyiceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        warehouse = self.folder / "data" / "warehouse"
        catalog = SqlCatalog("k2", uri=f"sqlite:///{warehouse / 'catalog.db'}", warehouse=str(warehouse))
        try:
            return catalog.load_table(f"market.{name}").scan().to_arrow()
        finally:
            catalog.close()

    def verdict(self, name: str) -> OracleReport:
        """The table against what the exchange issued, field by field."""
        return compare(self.exchange.issued(name), self.rows(name), COLUMNS[name])


@contextlib.contextmanager
def capture(folder: pathlib.Path, settings: LocalBinanceSettings, extra: str = "") -> Iterator[Capture]:
    """A local exchange and an installation that points at it; nothing of k2 runs yet."""
    with ExchangeThread(LocalBinance(settings)) as exchange:
        port = free_port()
        file = write_settings(folder, "binance", exchange.settings(), port)
        file.write_text(file.read_text() + extra)
        world = Capture(folder, exchange, file, port)
        try:
            yield world
        finally:
            for one in world.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGCONT)
                one.kill()
                one.wait(120)


def wait_until(what: str, holds: Any, limit_s: float = 180, alive: subprocess.Popen[bytes] | None = None) -> None:
    """Poll until it holds; says what did not come, at once where the process that should do it has ended."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert alive is None or alive.poll() is None, f"ended with {alive.returncode} before: {what}"
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.02)

"""Several writers on real parts: the embedded log, whose partitions are shared through a file, and one Iceberg table.

python -m tests.integration.writer.sharing_lake FOLDER [--once]
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import SystemClock
from k2core.interfaces.broker import Consumer, LogBlock, Offsets, Partition
from k2core.interfaces.sharing import Leaving, Membership
from k2core.records.builtin import TRADES
from k2core.records.topics import PARTITIONS
from k2core.telemetry.metrics import Metrics
from k2core.testing.sharing import Group, GroupMembership, Member
from k2core.writer import run_writer
from tests.integration.writer.writer_lake import TOPIC, Lake

SESSION_S = 1.5
SYMBOLS = [f"COIN{number}USDT" for number in range(40)]
ROOT = pathlib.Path(__file__).resolve().parents[3]


class SharingLog(EmbeddedBroker):
    """The embedded log, with a group in a file beside it."""

    folder: pathlib.Path

    def join(self, name: str, topics: Sequence[str], leaving: Leaving | None = None) -> Membership:
        every = [(topic, number) for topic in topics for number in range(PARTITIONS)]
        return Beating(lambda: group(self.folder), str(os.getpid()), lambda: every, leaving, SystemClock())

    def consumer(self, topics: Sequence[str]) -> Consumer:
        return Only(super().consumer(topics))


class Beating(GroupMembership):
    """A thread of its own says that the process lives, as client libraries do it; a frozen process says nothing."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._closed = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._closed.wait(SESSION_S / 5):
            self.beat()

    def close(self) -> None:
        self._closed.set()
        super().close()


class Only(Consumer):
    """Hands out some partitions alone."""

    def __init__(self, inner: Consumer) -> None:
        self._inner = inner
        self._only: frozenset[Partition] | None = None

    def only(self, partitions: frozenset[Partition]) -> None:
        self._only = partitions

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        found = self._inner.poll(max_records, timeout)
        return [b for b in found if self._only is None or (b.topic, b.partition) in self._only]

    def seek(self, offsets: Offsets) -> None:
        self._inner.seek(offsets)

    def positions(self) -> Offsets:
        return {p: o for p, o in self._inner.positions().items() if self._only is None or p in self._only}

    def close(self) -> None:
        self._inner.close()


@contextlib.contextmanager
def group(folder: pathlib.Path) -> Iterator[Group]:
    """The group of a folder, alone to whoever has it; a process that dies holding it changes nothing."""
    path = folder / "group.json"
    with (folder / "group.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = json.loads(path.read_text()) if path.exists() else {}
        made = Group(SESSION_S, {n: Member(m[0], {(t, p) for t, p in m[1]}) for n, m in told.items()})
        yield made
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({n: [m.seen, sorted(m.held)] for n, m in made.members.items()}))
        new.replace(path)


class SharingLake(Lake):
    """See `Lake`."""

    def made(self, offered: Any, **settings: Any) -> Any:
        if "path" not in settings:
            return super().made(offered, **settings)
        log = SharingLog(EmbeddedSettings(**settings), self.clock, logging.getLogger("k2.log"), Metrics())
        log.folder = self.folder
        return log


class Process:
    """One writer process."""

    def __init__(self, folder: pathlib.Path, *more: str) -> None:
        self.said = (folder / f"writer-{time.monotonic_ns()}.log").open("w+")
        command = [sys.executable, "-m", "tests.integration.writer.sharing_lake", str(folder), *more]
        self.child = subprocess.Popen(command, cwd=ROOT, stdout=self.said, stderr=self.said)

    @property
    def name(self) -> str:
        return str(self.child.pid)

    def send(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def end(self) -> int:
        """Stop it, if it runs; its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
        try:
            return self.child.wait(120)
        finally:
            self.child.kill()
            self.said.close()


class Shared:
    """A log that grows and its writers, as seen from outside."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.lake = SharingLake(folder)
        self.folder = folder
        self.table: Any = None
        self.issued: dict[str, int] = {}
        self.writers: list[Process] = []

    def start(self, *more: str) -> Process:
        self.writers.append(Process(self.folder, *more))
        return self.writers[-1]

    def freeze(self, writer: Process) -> None:
        """Stop a process, but not while it keeps the others from the group's file."""
        with group(self.folder):
            writer.send(signal.SIGSTOP)

    def held(self) -> dict[str, set[int]]:
        with group(self.folder) as made:
            return {name: {number for _, number in m.held} for name, m in made.members.items()}

    def append(self) -> None:
        """One record of each symbol, and now and then an old one again."""
        records = []
        for symbol in SYMBOLS:
            at = self.issued[symbol] = self.issued.get(symbol, 0) + 1
            records += [(symbol, at), (symbol, at - 5)] if at % 7 == 6 else [(symbol, at)]
        self.lake.append_all(records)

    def head(self) -> dict[int, int]:
        self.table = self.table or self.lake.sink.table(TRADES)
        return {number: offset for (_, number), offset in self.table.head().offsets.items()}

    def until(self, holds: Callable[[], bool], within_s: float, *, append: bool = True) -> float:
        """Append until something holds; the seconds it took."""
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < within_s, f"not within {within_s} s: {self.held()} {self.said()}"
            if append:
                self.append()
            time.sleep(0.05)
        return time.monotonic() - start

    def until_spread(self, count: int) -> None:
        """Until so many members have everything between them, and the table moves on."""

        def spread() -> bool:
            shares = self.held().values()
            return sum(map(bool, shares)) == count and sum(map(len, shares)) == PARTITIONS

        self.until(spread, 120)
        self.until_moved(set(range(PARTITIONS)))

    def until_moved(self, partitions: set[int], within_s: float = 120) -> float:
        """Until the table has got further on each of some partitions."""
        before, mine = self.head(), partitions & self.head().keys()
        return self.until(lambda: all(self.head()[p] > before[p] for p in mine), within_s)

    def until_whole(self) -> None:
        """Until the table has all of the log."""
        ends = {number: end for (_, number), end in self.lake.log.ends([TOPIC.name]).items()}
        self.until(lambda: self.head() == ends, 30, append=False)

    def check(self) -> None:
        """Every record issued is stored, once."""
        wanted = {(symbol, str(n)) for symbol, last in self.issued.items() for n in range(1, last + 1)}
        stored = self.lake.stored()
        assert {k for k, times in stored.items() if times > 1} == set(), "stored twice"
        assert wanted - stored.keys() == set(), "missing"

    def said(self) -> str:
        """What the writers said last."""
        return "\n".join(pathlib.Path(w.said.name).read_text()[-1500:] for w in self.writers)

    def close(self) -> None:
        for writer in self.writers:
            writer.child.kill()
            writer.child.wait(120)
            writer.said.close()
        self.lake.__exit__()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with SharingLake(pathlib.Path(sys.argv[1]), commit_interval_s=0.5, min_commit_interval_s=0.2) as lake:
        result = run_writer([lake.writer()], stop, once="--once" in sys.argv, clock=lake.clock)
        logging.getLogger("k2.test").info("ended %s", result)
        return result.exit_code


if __name__ == "__main__":
    sys.exit(main())

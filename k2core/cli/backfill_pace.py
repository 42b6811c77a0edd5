"""How fast `k2 backfill --from-log` appends: as fast as writers store, and never so that they would have to shed.

What is appended and not stored yet is bounded. The bound begins low, grows with every commit that left next to nothing,
up to what makes a writer commit at once; it is halved when one leaves more, and low while any level is told. Survives
writers that pause, shed or are away for a while: it waits, and gives up only where nothing at all moves for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from k2core.broker.spans import lag_of
from k2core.errors import K2Error

if TYPE_CHECKING:
    from k2core.config.build import Assembly
    from k2core.degradation.board import LevelBoard
    from k2core.interfaces.broker import Broker, Offsets
    from k2core.interfaces.sink import SinkTable

LOOK_S = 0.05
TELL_S = 10.0
"""How long something takes for it to be told, and then how often."""
BATCH = 10_000
BEHIND_SHARE = 0.5
"""Of `soft_lag`: so far the writers may be behind right after a commit for more than that to be appended."""

Say = Callable[[str], None]


class Pace:
    """Called before more is appended: waits while writers shed, or are behind.

    Args:
        assembly: The settings.
        log: The log.
        table: The table; its head is read.
        topics: What feeds it.
        name: The table's name.
        board: The levels that writers tell.
        wait_s: Seconds without any progress of the writers after which it gives up.
        say: Told now and then what is waited for.
    """

    def __init__(
        self, assembly: Assembly, log: Broker, table: SinkTable, topics: list[str], name: str, board: LevelBoard,
        wait_s: float, say: Say = lambda line: None,
    ) -> None:  # fmt: skip
        self._log, self._table, self._topics, self._name, self._board = log, table, topics, name, board
        self._wait_s, self._say = wait_s, say
        self.most = max(1, int(assembly.config.degradation.soft_lag * BEHIND_SHARE))
        self.batch_records = min(BATCH, self.most)
        # So much that a writer commits because of its rows, without waiting for the time; then `most` is left at most.
        self._ceiling = max(self.most, assembly.config.writer.commit_rows + self.most - self.batch_records)
        self.limit = self.most
        self._stored: Offsets | None = None
        self._why = ""

    def __call__(self) -> None:
        """Wait.

        Raises:
            K2Error: Nothing moved for too long.
        """
        wait(
            self._free, lambda: sum((self._stored or {}).values()), self._wait_s, self._name, self._say,
            lambda: self._why,
        )  # fmt: skip

    def _free(self) -> bool:
        self._board.look()
        told, stored = self._board.levels.get(self._name), self._table.head().offsets
        behind = sum(lag_of(self._log.ends(self._topics), stored).values())
        if stored != self._stored:
            self._committed(behind, first=self._stored is None)
            self._stored = stored
        if told is not None:
            self.limit = self.most
        if told is not None and told.level.sheds:
            self._why = f"{told.writer} told {told.level.name} and sheds"
            return False
        self._why = f"the writers are {behind:,} records behind"
        return behind <= self.limit

    def _committed(self, left: int, *, first: bool) -> None:
        """What a commit left tells whether the writers take more."""
        if left > self.most:
            self.limit = max(self.most, self.limit // 2)
        elif not first:
            self.limit = min(2 * self.limit, self._ceiling)


class Progress:
    """Says now and then how far it is.

    Args:
        table: The table's name.
        say: Is told.
    """

    def __init__(self, table: str, say: Say) -> None:
        self._table, self._say, self._told = table, say, time.monotonic()
        self._total = self._appended = 0

    def begin(self, records: int) -> None:
        """So many more are to come."""
        self._total += records

    def __call__(self, records: int) -> None:
        """So many more were appended."""
        self._appended += records
        if (now := time.monotonic()) - self._told >= TELL_S:
            self._told = now
            self._say(self._so_far())

    def stopped(self, noted: int) -> None:
        """It ends before it is done; of so many records the table says that they are back."""
        if self._total:
            self._say(f"{self._so_far()}, and {noted:,} are noted as back; the same command brings back the rest")

    def _so_far(self) -> str:
        return f"{self._table}: {self._appended:,} of {self._total:,} shed records are in the log again"


def wait(
    holds: Callable[[], bool], progress: Callable[[], int], limit_s: float, table: str, say: Say = lambda line: None,
    why: Callable[[], str] = lambda: "until the writers have stored it",
) -> None:  # fmt: skip
    """Wait for something that running writers bring about.

    Args:
        holds: What is waited for.
        progress: A number that changes while writers store.
        limit_s: Seconds without progress after which it fails.
        table: The table's name.
        say: Told every `TELL_S` what is waited for.
        why: What that is.

    Raises:
        K2Error: It does not hold, and there was no progress for `limit_s` seconds.
    """
    seen, moved = progress(), time.monotonic()
    told = moved
    while not holds():
        now = time.monotonic()
        if (there := progress()) != seen:
            seen, moved = there, now
        if now - moved > limit_s:
            raise K2Error(
                f"{table}: the writers stored nothing for {limit_s:g} s: is `k2 write` running, and not shedding? "
                f"Waited because {why()}. What was appended is safe in the log; run the same command again then"
            )
        if now - told >= TELL_S:
            told = now
            say(f"{table}: waiting: {why()}")
        time.sleep(LOOK_S)

"""A small world of several writers that share one table's partitions."""

from __future__ import annotations

from typing import Any

from k2core.testing.memory_log import MemoryLog
from k2core.writer.pipeline import WriterPipeline
from tests.unit.writer.writer_world import TOPIC, WriterWorld

PARTS, SESSION_S = 8, 3.0
SYMBOLS = [f"COIN{n}USDT" for n in range(40)]


class SharedWorld(WriterWorld):
    """A log whose partitions are shared."""

    def __init__(self, **given: Any) -> None:
        super().__init__(partitions=PARTS, **given)
        specs = self.log._topics
        self.log = MemoryLog(self.clock, session_s=SESSION_S)
        self.log._topics.update(specs)
        self.numbers = dict.fromkeys(SYMBOLS, 0)

    def flow(self, each: int = 3) -> None:
        """Records on every partition."""
        for symbol in SYMBOLS:
            start = self.numbers[symbol]
            self.trades(symbol, *range(start, start + each))
            self.numbers[symbol] += each

    def settle(self, *writers: WriterPipeline, turns: int = 6) -> None:
        """Everybody asks for its share, again and again."""
        for _ in range(turns):
            self.clock.us += 100_000
            for writer in writers:
                if not writer.started:
                    writer.start()
                writer.step(0)

    def complete(self) -> bool:
        return dict(self.table.main.offsets) == self.log.ends([TOPIC])


def owned(writer: WriterPipeline) -> set[int]:
    return {number for _, number in writer.committed}


def write(*writers: WriterPipeline) -> None:
    for writer in writers:
        while writer.step(0):
            pass
        writer.commit()

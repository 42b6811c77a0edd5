"""A small importer, of lines `symbol;price;quantity;time`, in steps that can be broken one by one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from k2core.plugin import (
    ChannelFacts,
    Component,
    ConfigError,
    ConnectorFacts,
    Context,
    FrameBatch,
    FrameParser,
    Importer,
    ImportSource,
    Mark,
    NormalizedBatch,
    Settings,
    Trade,
)
from k2core.testing import ImporterSuite

BATCH = 16


class Lines(FrameParser):
    exchange = "pit"

    def parse(self, frame: bytes) -> Iterator[Trade]:
        number, symbol, price, quantity, time_ms = frame.decode().split(";")
        yield Trade(symbol, price, quantity, None, number, int(time_ms) * 1000)

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        import pyarrow as pa

        found = super().normalize(batch)
        trades = found.records.get("trades")
        if trades is None:
            return found
        source = pa.array(["import"] * trades.num_rows)
        at = trades.schema.get_field_index("source")
        records = {"trades": trades.set_column(at, "source", source)}
        return NormalizedBatch(records, found.rejected, found.control, found.yielding)


class LineSource(ImportSource):
    """Ids are digests of everything up to a row; a mark is the digest of the rows that it stands for."""

    def __init__(self, path: Path, marks: Sequence[Mark]) -> None:
        self.path, self.marks, self.passed, self.digests = path, marks, 0, list[str]()
        self.numbers: range = range(0)

    @property
    def known(self) -> int:
        return self.passed

    def lines(self) -> list[str]:
        try:
            found = self.path.read_bytes().decode().splitlines()
        except FileNotFoundError:
            raise ConfigError(f"{self.path}: there is no such file") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path}: no text: {error.reason}") from None
        return found

    def digest(self, rows: Sequence[str]) -> str:
        return hashlib.blake2b("\n".join(rows).encode(), digest_size=8).hexdigest()

    def proven(self, rows: list[str]) -> int:
        held = [int(mark["row"]) for mark in self.marks if mark["digest"] == self.digest(rows[: int(mark["row"])])]
        return max((row for row in held if row <= len(rows)), default=0)

    def identity(self, rows: list[str], number: int) -> str:
        return f"r{number}-{self.digest(rows[:number])}"

    async def frames(self) -> AsyncIterator[FrameBatch]:
        rows = self.lines()
        self.passed = self.proven(rows)
        self.digests = [self.digest(rows[:number]) for number in range(len(rows) + 1)]
        for first in range(self.passed + 1, len(rows) + 1, BATCH):
            numbers = range(first, min(first + BATCH, len(rows) + 1))
            frames = [f"{self.identity(rows, number)};{rows[number - 1]}".encode() for number in numbers]
            yield FrameBatch(frames, [1] * len(frames), 0, self.first(first), self.path.name)

    def first(self, number: int) -> int:
        return number

    def mark(self, frames: int) -> Mark | None:
        row = self.passed + frames
        return {"file": self.digests[1], "row": row, "digest": self.digests[row]} if frames else None


class LineImporter(Importer):
    reads: ClassVar[type[LineSource]] = LineSource
    facts = ConnectorFacts(exchange="pit", asset_class="crypto", channels={"trades": ChannelFacts(ids="opaque")})
    normalizer = Lines()

    def source(self, path: Path, marks: Sequence[Mark]) -> ImportSource:
        return self.reads(path, marks)


def make(settings: Settings, context: Context) -> Importer:
    return LineImporter()


make.__module__ = "tests.contract.pit_normalizer"
COMPONENT: Component[Importer] = Component(name="pit", summary="Pit's lines", settings=Settings, factory=make)


class LineSuite(ImporterSuite):
    component = COMPONENT
    most_rows = 40
    records = (
        {"symbol": "AAA", "price": 1.5, "quantity": 2.0, "exchange_timestamp_ms": 1_723_161_255_000},
        {"symbol": "AAA", "price": 1.5, "quantity": 2.0, "exchange_timestamp_ms": 1_723_161_255_000},
    )

    def file(self, folder: Path, rows: int, broken: int | None = None) -> Path:
        lines = [f"AAA;{1.5 + n // 2};2;{1_723_161_255_000 + n // 2}" for n in range(rows)]
        if broken:
            lines[broken - 1] = "AAA;oops;2;1723161255000"
        path = folder / "day.txt"
        path.write_text("\n".join(lines) + "\n")
        return path


def suite_of(source: type[LineSource] = LineSource, **importer: Any) -> type[ImporterSuite]:
    """The suite on another source or importer."""
    made: type[Importer] = type("Made", (LineImporter,), {"reads": source, **importer})

    def make_it(self: LineSuite, **options: Any) -> Importer:
        return made()

    return type(f"Suite{source.__name__}", (LineSuite,), {"make": make_it})

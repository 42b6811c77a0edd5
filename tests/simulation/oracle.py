"""What must hold, worked out from the log's bytes alone: with fastavro, rules of its own, and no code that is judged.

The meaning of everything: take the log's prefix below some ends, remove what is refused, keep the first
copy of each identity. `define` says that; table, answers, pages and `as_of` are compared with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from k2core.avro.reference import decode_each
from k2core.interfaces.broker import LogBlock, Partition
from k2core.interfaces.shed import Shed
from k2core.records.builtin import DEAD_LETTERS
from k2core.records.data_type import DataType
from tests.simulation.exchange import DAY_MS, Exchange, price, side

EPOCH = dt.date(1970, 1, 1)
Key = tuple[int, str, int, int]


class WrongError(AssertionError):
    """The world shows that something is wrong."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log."""

    place: Partition
    offset: int
    symbol: str
    number: int
    ms: int
    at_us: int
    good: bool

    @property
    def key(self) -> Key:
        return self.ms, *self.place, self.offset


class Oracle:
    """Reads along as blocks are appended.

    Args:
        data_type: The world's.
        topic: Its topic.
        exchange: What was issued.
    """

    def __init__(self, data_type: DataType, topic: str, exchange: Exchange) -> None:
        self.data_type, self.topic, self.exchange = data_type, topic, exchange
        self._id = data_type.id_column or ""
        self.entries: dict[Partition, list[Entry]] = {}
        self.firsts: dict[Partition, list[Entry]] = {}
        self.captured = 0
        self.sources: dict[tuple[Partition, int], str] = {}
        self.logged: set[tuple[str, int]] = set()
        self.buried: set[str] = set()
        self.refused_frames = 0
        self.reached: dict[Partition, int] = {}
        self._seen: set[tuple[Partition, str, int]] = set()
        self._parsed = {d.name: fastavro.parse_schema(d.avro_schema(d.versions)) for d in (data_type, DEAD_LETTERS)}

    def appended(self, block: LogBlock) -> None:
        """A block is in the log."""
        kind = self.data_type.name if block.topic == self.topic else DEAD_LETTERS.name
        schema = self._parsed[kind]
        for at, record in enumerate(decode_each(schema, schema, block.sizes, block.data)):
            if kind == DEAD_LETTERS.name:
                self.refused_frames += record["stage"] == "normalize"
                self.buried.add(record["origin"])
            else:
                self._record(block, block.first_offset + at, record)

    def _record(self, block: LogBlock, offset: int, record: Mapping[str, Any]) -> None:
        place, number, ms = (block.topic, block.partition), int(record[self._id]), record["exchange_timestamp_ms"]
        identity = record["symbol"], number
        if identity not in self.exchange.issued:
            raise WrongError(f"{identity} is in the log and was never issued")
        self.sources[place, offset] = record["source"]
        self.captured += record["source"] != "replay"
        good = 0 < ms <= block.timestamp_us // 1000 + DAY_MS
        entry = Entry(place, offset, *identity, ms, block.timestamp_us, good)
        there = self.entries.setdefault(place, [])
        if there and (offset != there[-1].offset + 1 or entry.at_us < there[-1].at_us):
            raise WrongError(f"{place}: offset or append time out of order at {offset}")
        there.append(entry)
        self.logged.add(identity)
        if good and (place, *identity) not in self._seen:
            self._seen.add((place, *identity))
            self.firsts.setdefault(place, []).append(entry)

    def define(
        self, ends: Mapping[Partition, int], as_of_us: int | None = None, symbols: Any = None, shed: Sequence[Shed] = ()
    ) -> list[Key]:
        """Keys of the rows below some ends, in order."""
        return sorted(
            e.key
            for place, firsts in (kept_firsts(self.entries, shed) if shed else self.firsts).items()
            for e in firsts
            if e.offset < ends.get(place, 0)
            and (as_of_us is None or e.at_us <= as_of_us)
            and (symbols is None or e.symbol in symbols)
        )

    def check_table(
        self, rows: tuple[dict[str, Any], ...], offsets: Mapping[Partition, int], shed: Sequence[Shed] = ()
    ) -> None:
        """The table is the first copies below its offsets, and what was refused there has a dead letter."""
        self.reached |= {p: max(o, self.reached.get(p, 0)) for p, o in offsets.items()}
        stored = sorted((r["exchange_timestamp_ms"], r["topic"], r["log_partition"], r["log_offset"]) for r in rows)
        wanted = self.define(offsets, shed=shed)
        check_counts(self.entries, shed, offsets)
        if stored != wanted:
            raise WrongError(f"table: {difference(stored, wanted)}")
        identities = {(r["symbol"], r[self._id]) for r in rows}
        if len(identities) != len(rows):
            raise WrongError("table: an identity is stored twice")
        for place, entries in self.entries.items():
            for e in entries:
                if (
                    not e.good
                    and e.offset < offsets.get(place, 0)
                    and f"{place[0]}/{place[1]}/{e.offset}" not in self.buried
                ):
                    raise WrongError(f"{place} offset {e.offset} was refused without a dead letter")

    def check_release(self, offsets: Mapping[Partition, int], table: Mapping[Partition, int]) -> None:
        """Only what some commit carried may be released to retention."""
        for place, offset in offsets.items():
            if offset > max(self.reached.get(place, 0), table.get(place, 0)):
                raise WrongError(f"{place} is released below {offset}, which no commit carried")

    def check_fields(self, rows: tuple[dict[str, Any], ...]) -> None:
        """Every stored row is what the exchange issued."""
        for row in rows:
            number = int(row[self._id])
            place = row["topic"], row["log_partition"]
            wanted: dict[str, Any] = {
                "exchange": "binance",
                "id_epoch": 0,
                "source": self.sources[place, row["log_offset"]],
            }
            if self.data_type.name == "trades":
                wanted |= {"price": float(price(number)), "quantity": 0.5, "side": side(number)}
                wanted |= {"exchange_timestamp_ms": self.exchange.issued[row["symbol"], number]}
            else:
                wanted |= {"bid_price": float(price(number)), "ask_price": 200.5}
            wanted |= {"exchange_date": row["exchange_timestamp_ms"] // DAY_MS}
            found = {name: row[name] for name in wanted}
            found["exchange_date"] = (found["exchange_date"] - EPOCH).days
            if found != wanted:
                raise WrongError(f"row {row['symbol']} {number}: stored {found}, issued {wanted}")

    def check_answer(self, got: list[Key], wanted: list[Key], what: str) -> None:
        """Exactly these rows, in this order."""
        if got != wanted:
            raise WrongError(f"{what}: {difference(got, wanted)}")


def is_shed(e: Entry, shed: Sequence[Shed]) -> bool:
    """Whether a range names a record."""
    return any(
        (r.topic, r.partition) == e.place and r.first_offset <= e.offset < r.next_offset and e.symbol in dict(r.symbols)
        for r in shed
    )


def kept_firsts(entries: Mapping[Partition, list[Entry]], shed: Sequence[Shed]) -> dict[Partition, list[Entry]]:
    """By partition the first copies among what was neither refused nor shed."""
    found: dict[Partition, list[Entry]] = {}
    for place, there in entries.items():
        firsts: dict[tuple[str, int], Entry] = {}
        for e in there:
            if e.good and not is_shed(e, shed):
                firsts.setdefault((e.symbol, e.number), e)
        found[place] = list(firsts.values())
    return found


def check_counts(
    entries: Mapping[Partition, list[Entry]], shed: Sequence[Shed], offsets: Mapping[Partition, int]
) -> None:
    """Every range counts each of its symbols, and lies below the table's offsets."""
    for r in shed:
        if r.next_offset > offsets.get((r.topic, r.partition), 0):
            raise WrongError(f"{r} reaches beyond the table")
        there = [e for e in entries.get((r.topic, r.partition), []) if r.first_offset <= e.offset < r.next_offset]
        for symbol, count in r.symbols:
            if (found := sum(e.good and e.symbol == symbol for e in there)) != count:
                raise WrongError(f"{r}: {found} records of {symbol}")


def difference(got: list[Key], wanted: list[Key]) -> str:
    """In a line, what is wrong."""
    missing, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    twice = len(got) - len(set(got))
    return f"{len(got)} rows, wanted {len(wanted)}; missing {missing[:3]}, unexpected {extra[:3]}, {twice} twice"

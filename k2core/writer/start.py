"""What must hold before a writer may read on from a table's offsets: typed errors, never a silent reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from k2core.errors import OffsetGoneError, TopicChangedError
from k2core.interfaces.broker import Broker, Offsets, Partition, TopicInfo


def infos_of(broker: Broker, topics: Sequence[str]) -> dict[str, TopicInfo]:
    """The topics as the log has them.

    Raises:
        TopicChangedError: One is missing.
    """
    there = broker.topics()
    if missing := [name for name in topics if name not in there]:
        raise TopicChangedError(f"the log has no topic {', '.join(missing)}: create it (k2 ingest does) or drop it")
    return {name: there[name] for name in topics}


def check_same(infos: Mapping[str, TopicInfo], stored: Mapping[str, str], table: str) -> None:
    """The topics are those that fed the table before.

    Raises:
        TopicChangedError: One was created anew, so that its offsets mean other records.
    """
    for name, info in infos.items():
        if stored.get(name, info.id) != info.id:
            raise TopicChangedError(
                f"topic {name} is another one than the one that fed table {table} "
                f"(id {info.id}, the table says {stored[name]}): bring the old log back, or give the sink a new warehouse"
            )


def check_held(broker: Broker, offsets: Offsets, owned: frozenset[Partition], table: str) -> None:
    """The log still holds what the table wants next, and reaches up to it.

    Raises:
        OffsetGoneError: Retention removed records that no commit carried.
        TopicChangedError: The log ends before what the table holds: an older copy of it was put back. Its next records
            would get offsets that the table accounts for already, and would be passed over.
    """
    topics = sorted({topic for topic, _ in owned})
    starts, ends = broker.starts(topics), broker.ends(topics)
    for place in sorted(owned):
        start, wanted, end = starts.get(place, 0), offsets.get(place, 0), ends.get(place, 0)
        if end < wanted:
            raise TopicChangedError(
                f"{place[0]}/{place[1]} ends at offset {end}, but table {table} holds it up to {wanted}: an older copy of "
                "the log was put back. Bring the newer log back; or move it away and give the sink a new warehouse"
            )
        if start > wanted:
            raise OffsetGoneError(
                f"{place[0]}/{place[1]} starts at offset {start}, but table {table} wants {wanted} next: "
                f"{start - wanted} records are gone from the log; bring it back, or give the sink a new warehouse"
            )


def check_stamps(broker: Broker, newest: Mapping[Partition, tuple[int, int]], table: str) -> None:
    """The log has, where the table's newest rows came from, records appended at the very times that the rows tell.

    Raises:
        TopicChangedError: It has not: an older copy of the log was put back, and was appended to since.
    """
    starts, ends = (ask(sorted({topic for topic, _ in newest})) for ask in (broker.starts, broker.ends))
    for place, (offset, stamp_us) in newest.items():
        if not starts.get(place, 0) <= offset < ends.get(place, 0):
            continue
        consumer = broker.consumer([place[0]])
        try:
            consumer.seek({p: end for p, end in ends.items() if p[0] == place[0]} | {place: offset})
            found = [b.timestamp_us for b in consumer.poll(1, 0) if (b.topic, b.partition) == place]
        finally:
            consumer.close()
        if found and found[0] != stamp_us:
            raise TopicChangedError(
                f"{place[0]}/{place[1]} holds another record at offset {offset} than the one that fed table {table}: an "
                "older copy of the log was put back. Bring the newer log back; or move it away and give the sink a new "
                "warehouse"
            )


def lag_of(ends: Offsets, offsets: Offsets) -> dict[Partition, int]:
    """Records of each partition beyond these offsets; across a log epoch (2**40 offsets) at least so many."""
    lag = {}
    for place, end in ends.items():
        at = offsets.get(place, 0)
        if end > at:
            lag[place] = end - at if end >> 40 == at >> 40 else max(1, end & ((1 << 40) - 1))
    return lag

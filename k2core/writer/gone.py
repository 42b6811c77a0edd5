"""Records that retention removed before a table had them: named exactly, passed only by consent, and recorded.

Two cases, two consents. A table that never had a record of a topic may begin at the log's start
(`[writer] begin = "log-start"`, `k2 write --begin-at-log-start`): it has lost nothing that it had promised. A table that
has records of the topic lost some in the middle: only `k2 write --skip-gone` passes them, once, for no setting may make
such a loss silent. Either way the commit that moves the offsets carries the ranges, so that offsets and record of the
loss are one atomic step; killed before it, nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from k2core.broker.spans import records_between
from k2core.errors import OffsetGoneError
from k2core.interfaces.broker import Broker, Offsets, Partition
from k2core.interfaces.sink import Gone, Head, LogFacts, Ownership
from k2core.writer.parts import Parts

NAMED = 4
"""Ranges that an error message names; the others it counts."""


def gone_ranges(broker: Broker, offsets: Offsets, places: Iterable[Partition]) -> list[Gone]:
    """What the table wants next and the log no longer has, in order."""
    wanted = sorted(places)
    starts = broker.starts(sorted({topic for topic, _ in wanted}))
    return [
        Gone(*place, offsets.get(place, 0), starts[place])
        for place in wanted
        if starts.get(place, 0) > offsets.get(place, 0)
    ]


def require_consent(gone: Sequence[Gone], head: Head, parts: Parts, *, skip: bool) -> None:
    """Refuse to pass what nobody allowed to be passed.

    Args:
        gone: What is gone.
        head: What the table says: of which topics it has records.
        parts: The pipeline's, for its settings and the table's name.
        skip: Whether a loss in the middle is accepted, this once.

    Raises:
        OffsetGoneError: The message names what is gone, and the option that passes it.
    """
    had = {topic for (topic, _), offset in head.offsets.items() if offset}
    lost = [one for one in gone if one.topic in had]
    new = [one for one in gone if one.topic not in had]
    if lost and not skip:
        raise OffsetGoneError(
            f"{_named(lost)} are gone from the log, and table {parts.data_type.table} had not stored them: bring the log "
            "back; or accept the loss with `k2 write --once --skip-gone`, which records in the table what was skipped"
        )
    if new and parts.settings.begin != "log-start":
        raise OffsetGoneError(
            f"{_named(new)} are gone from the log, and table {parts.data_type.table} never had them: bring the log back; or "
            "let the table begin at the log's start with `k2 write --once --begin-at-log-start` (or "
            '[writer] begin = "log-start"), which records in the table what it lacks'
        )


def pass_gone(
    parts: Parts, owned: Ownership, places: frozenset[Partition], head: Head, *, skip: bool
) -> Head:  # fmt: skip
    """Move the table's offsets of some owned partitions over what is gone, in a commit of its own, where allowed.

    Returns:
        The head to go on from: as given where nothing is gone.

    Raises:
        OffsetGoneError: Something is gone and may not be passed.
        FencedError: Another writer took over.
        SinkError: The table cannot be reached; the head says whether the commit landed.
    """
    gone = gone_ranges(parts.broker, head.offsets, places)
    if not gone:
        return head
    require_consent(gone, head, parts, skip=skip)
    dated = tuple(_dated(parts.broker, one) for one in gone)
    expect = {place: head.offsets.get(place, 0) for place in owned.partitions}
    offsets = {p: o for p, o in expect.items() if o} | {(g.topic, g.partition): g.next_offset for g in dated}
    staged = parts.table.stage(parts.data_type.table_schema.empty_table())
    after = parts.table.commit(staged, owned, expect, offsets, LogFacts(gone=dated))
    for one in dated:
        parts.logger.warning(
            "gone from the log, passed data_type=%s topic=%s partition=%d first_offset=%d next_offset=%d records=%d",
            parts.data_type.name, one.topic, one.partition, one.first_offset, one.next_offset, _records(one),
        )  # fmt: skip
    return after


def tell_gone(parts: Parts, gone: Sequence[Gone]) -> None:
    """Set the gauge to all that the table ever passed."""
    parts.metrics.set("k2_writer_gone_records", sum(map(_records, gone)), data_type=parts.data_type.name)


def _dated(broker: Broker, one: Gone) -> Gone:
    """With the append time of the oldest record that is left: what is gone was appended before."""
    consumer = broker.consumer([one.topic])
    try:
        ends = {place: end for place, end in broker.ends([one.topic]).items() if place[1] != one.partition}
        consumer.seek({**ends, (one.topic, one.partition): one.next_offset})
        found = [b.timestamp_us for b in consumer.poll(1, 0) if b.partition == one.partition]
    finally:
        consumer.close()
    return Gone(one.topic, one.partition, one.first_offset, one.next_offset, found[0] if found else None)


def _records(one: Gone) -> int:
    return records_between(one.first_offset, one.next_offset)


def _named(gone: Sequence[Gone]) -> str:
    """`8,192 records: topic/0 offsets 0 to 99, …`."""
    names = ", ".join(f"{g.topic}/{g.partition} offsets {g.first_offset} to {g.next_offset - 1}" for g in gone[:NAMED])
    more = f" and {len(gone) - NAMED} further partitions" if len(gone) > NAMED else ""
    return f"{sum(map(_records, gone)):,} records ({names}{more})"

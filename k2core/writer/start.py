"""What must hold before a writer may read on from a table's offsets: typed errors, never a silent reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from k2core.broker.history import check_history
from k2core.errors import TopicChangedError
from k2core.interfaces.broker import Broker, Partition, TopicInfo
from k2core.interfaces.sink import Head, Ownership
from k2core.writer.gone import gone_ranges, pass_gone, require_consent, tell_gone
from k2core.writer.parts import Parts
from k2core.writer.tell import tell_shed


def infos_of(broker: Broker, topics: Sequence[str]) -> dict[str, TopicInfo]:
    """The topics as the log has them.

    Raises:
        TopicChangedError: One is missing.
    """
    there = broker.topics()
    if missing := [name for name in topics if name not in there]:
        raise TopicChangedError(f"the log has no topic {', '.join(missing)}: create it (k2 ingest does) or drop it")
    return {name: there[name] for name in topics}


def ids_of(parts: Parts) -> dict[str, str]:
    """The ids of the pipeline's topics, by name.

    Raises:
        TopicChangedError: One is missing.
    """
    return {name: info.id for name, info in infos_of(parts.broker, parts.topics).items()}


def take_over(parts: Parts, *, skip: bool) -> Ownership:
    """Register in the log and become the owner of all partitions, once it is sure that the log is the table's own.

    Raises:
        TopicChangedError: The log is another one, or an older copy.
        OffsetGoneError: The log no longer holds what the table wants next.
    """
    infos = infos_of(parts.broker, parts.topics)
    places = frozenset((name, number) for name, info in infos.items() for number in range(info.partitions))
    head = parts.table.head()
    # Before anybody is fenced: a writer that cannot go on must not stop one that can.
    agree(parts, places, head, skip=skip)
    parts.broker.register(parts.name, parts.topics)
    return parts.table.take_over(places, {name: info.id for name, info in infos.items()}, parts.owner)


def agree(parts: Parts, places: frozenset[Partition], head: Head, *, skip: bool, every: bool = True) -> None:
    """The log is the one that fed the table, and holds what the table wants next, or may be read on without it.

    Args:
        parts: The pipeline's.
        places: What is to be read.
        head: What the table says.
        skip: Whether a loss in the middle is accepted.
        every: Whether to look at all that ever fed the table, or at these partitions alone: who shares them with others
            takes a few over at a time, and must not pay for all.

    Raises:
        TopicChangedError, OffsetGoneError: See `take_over`.
    """
    check_history(parts.broker, head if every else _about(head, places), parts.data_type.table or parts.data_type.name)
    require_consent(gone_ranges(parts.broker, head.offsets, places), head, parts, skip=skip)


def agreed_head(
    parts: Parts, owned: Ownership, places: frozenset[Partition], *, skip: bool, every: bool = True
) -> Head:  # fmt: skip
    """The head to read on from, with everything checked and what is gone passed.

    Raises:
        K2Error: See `take_over` and `pass_gone`.
    """
    head = parts.table.head()
    agree(parts, places, head, skip=skip, every=every)
    head = pass_gone(parts, owned, places, head, skip=skip)
    tell_gone(parts, head.gone)
    tell_shed(parts, head.shed)
    return head


def _about(head: Head, places: frozenset[Partition]) -> Head:
    return replace(
        head,
        offsets={p: o for p, o in head.offsets.items() if p in places},
        stamps={p: s for p, s in head.stamps.items() if p in places},
    )

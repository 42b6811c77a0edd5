"""`KafkaConsumer`: reads all partitions of its topics, or those named by `only`, from the offsets it is told.

It joins no group and stores no offset. A poll is empty only where every partition was seen at its end (the client says
so once a partition has none left): "nothing there" is an answer, never a guess about a slow broker. Holes in offsets,
also behind the last record, are passed.

Faults survived: brokers killed, frozen, restarted (`BrokerAwayError`, then it reads on from where it was), a leader
moved. Faults told: retention passed its place, or the place was never given out (`OffsetGoneError`); the topic is another
one now (`TopicChangedError`); bytes whose checksum is wrong (`LogCorruptError`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, Message, TopicPartition

from k2_plugin_kafka.blocks import Versions, blocks_of
from k2_plugin_kafka.client import MISSING, Told, away, common, error_of, logger_of, translated
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import (
    BrokerError,
    Consumer,
    LogBlock,
    OffsetGoneError,
    Offsets,
    Partition,
    TopicChangedError,
    TopicInfo,
)

ASK_MOST = 512
"""Messages taken from the client at once: more of these small objects than the cores' caches hold cost twice the time."""
BACKLOG, FILL_S = 256, 0.02
"""So many at once are a backlog: then a poll waits this long for more, for the same work is done better in one go."""


class KafkaConsumer(Consumer):
    """Reads through a client of its own, made at the first poll.

    Args:
        settings: Of `[broker]`.
        logger: For the client's own lines.
        topics: What to read, as it is now.
        find: Topics as they are at another time.
        versions: By topic.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        logger: logging.Logger,
        topics: Mapping[str, TopicInfo],
        find: Callable[[], Mapping[str, TopicInfo]],
        versions: dict[str, Versions],
    ) -> None:
        self._settings, self._logger, self._topics, self._find = settings, logger, topics, find
        self._versions, self._told = versions, Told(settings)
        self._at: dict[Partition, int] = {(n, p): 0 for n, t in topics.items() for p in range(t.partitions)}
        self._wanted = frozenset(self._at)
        self._assigned: set[Partition] = set()
        self._ended: set[Partition] = set()
        self._sought: set[Partition] = set()
        self._doubted: dict[Partition, int] = {}
        self._held: set[Partition] = set()
        self._client: Client | None = None

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        """The next blocks. See `Consumer.poll`; 0 waits only for what brokers have not answered yet."""
        started = time.monotonic()
        with translated(self._settings, "read", self._told):
            blocks = self._taken(self._placed().consume(min(max_records, ASK_MOST), 0))
            while not blocks:
                now = time.monotonic()
                if (left := started + timeout - now) <= 0 and self._ended >= self._wanted:
                    return []
                if left <= 0 and (left := started + timeout + self._settings.answer_timeout_s - now) <= 0:
                    self._begin_anew()
                    raise away(self._settings, "read: no answer", self._told)
                blocks = self._taken(self._next(self._placed(), min(max_records, ASK_MOST), left))
            return self._filled(blocks, max_records)

    def _filled(self, blocks: list[LogBlock], most: int) -> list[LogBlock]:
        """Blocks, and those that follow at once; what fails now is met by the next poll, which has nothing to lose."""
        count = more = sum(map(len, blocks))
        while count < most and more >= BACKLOG and not self._ended >= self._wanted:
            try:
                found = self._taken(self._placed().consume(min(most - count, ASK_MOST), FILL_S))
            except BrokerError:
                break
            more = sum(map(len, found))
            count, blocks = count + more, blocks + found
        return blocks

    def seek(self, offsets: Offsets) -> None:
        """Read on from these next offsets."""
        moved = {place: offset for place, offset in offsets.items() if self._at.get(place, -1) >= 0}
        self._at.update(moved)
        self._drop(moved)

    def only(self, partitions: frozenset[Partition]) -> None:
        """Read these partitions alone; those that stay are read without a break."""
        self._wanted = frozenset(self._at) & partitions

    def positions(self) -> Offsets:
        """Next offset of every partition that is read."""
        return {place: self._at[place] for place in self._wanted}

    def close(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _begin_anew(self) -> None:
        """Another client at the next poll: it knows nothing of the brokers, and so nothing wrong."""
        self._drop(list(self._at))
        self.close()

    def _next(self, client: Client, most: int, timeout: float) -> list[Message]:
        """Wait for one message, and take what came with it: `consume` alone would wait until it has all."""
        first = client.poll(timeout)
        if first is None:
            return []
        return [first, *client.consume(most - 1, 0)] if most > 1 else [first]

    def _drop(self, places: Iterable[Partition]) -> None:
        """Places that must be read anew from where they are."""
        for place in places:
            self._assigned.discard(place)
            self._ended.discard(place)

    def _placed(self) -> Client:
        """The client, with every wanted partition at its place."""
        if self._client is None:
            self._client = Client(self._properties(), logger=logger_of(self._logger))
            self._assigned, self._held = set(), set()
        if self._assigned == self._wanted:
            return self._client
        client, stay = self._client, self._assigned & self._wanted
        if not stay:
            client.assign([TopicPartition(*place, self._at[place]) for place in sorted(self._wanted)])
        else:
            if leave := self._held - stay:
                client.incremental_unassign([TopicPartition(*place) for place in sorted(leave)])
            if come := self._wanted - stay:
                client.incremental_assign([TopicPartition(*place, self._at[place]) for place in sorted(come)])
        self._ended &= stay
        self._sought = (self._sought & stay) | (self._wanted - stay)
        self._assigned, self._held = set(self._wanted), set(self._wanted)
        return client

    def _taken(self, messages: list[Message]) -> list[LogBlock]:
        """Blocks of what was read; positions move on."""
        if not messages:
            return []
        try:
            ends: list[Message] = []
            if any(map(Message.error, messages)):
                ends = [one for one in messages if one.error() is not None and self._is_end(one)]
                messages = [one for one in messages if one.error() is None]
            blocks = blocks_of(messages, self._versions)
        except BaseException:
            self._drop(list(self._at))  # what was taken from the client is not handed out: it is read again
            raise
        found = [block for one in blocks if (block := self._passed(one)) is not None]
        for end in ends:
            self._pass_end((str(end.topic()), int(end.partition() or 0)), int(end.offset() or 0))
        return found

    def _passed(self, block: LogBlock) -> LogBlock | None:
        """A block, with its place passed; None for one that does not belong there."""
        place = block.topic, block.partition
        if not self._believed(place, block.first_offset):
            return None
        skip = self._at[place] - block.first_offset
        self._ended.discard(place)
        if skip >= len(block):
            return None
        self._at[place] = block.next_offset
        if skip <= 0:
            return block
        return LogBlock(
            block.topic, block.partition, block.first_offset + skip, block.version, block.timestamp_us,
            block.sizes[skip:], block.data[int(block.sizes[:skip].sum()) :],
        )  # fmt: skip

    def _pass_end(self, place: Partition, offset: int) -> None:
        """A partition ends at an offset, behind markers that are no records."""
        if self._believed(place, offset) and self._at[place] <= offset:
            self._at[place] = offset
            self._ended.add(place)

    def _believed(self, place: Partition, offset: int) -> bool:
        """Whether what comes from a partition is of its place. Left-overs of before a seek would be a hole in silence:
        a hole right behind a seek counts only when it is seen a second time.
        """
        if place not in self._assigned:
            return False
        if place not in self._sought:
            return True
        if offset > self._at[place] and self._doubted.get(place) != self._at[place]:
            self._doubted[place] = self._at[place]
            self._drop([place])
            return False
        self._sought.discard(place)
        self._doubted.pop(place, None)
        return True

    def _is_end(self, event: Message) -> bool:
        """Whether an event says that a partition has no more for now.

        Raises:
            BrokerError: It says anything else.
        """
        error, place = event.error(), (str(event.topic()), int(event.partition() or 0))
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        offset = event.offset()
        if offset is not None and offset >= 0 and offset != self._at.get(place):
            return False  # about a place that was left since
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, *MISSING):
            raise self._gone(place, error)
        raise error_of(self._settings, f"read {place[0]}/{place[1]}", error, self._told)

    def _gone(self, place: Partition, error: KafkaError) -> Exception:
        topic, now = place[0], self._find()
        if topic not in now or now[topic].id != self._topics[topic].id:
            found = f"its id is {now[topic].id} now" if topic in now else "it is gone"
            return TopicChangedError(
                f"topic {topic} (id {self._topics[topic].id}) was deleted or made anew while it was read: {found}"
            )
        if error.code() in MISSING:
            return error_of(self._settings, f"read {topic}/{place[1]}", error, self._told)
        return OffsetGoneError(
            f"{topic}/{place[1]}: offset {self._at.get(place, 0)} is not in the log: retention removed it, or it was never "
            f"given out ({error.str()})"
        )

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "fetch.error.backoff.ms": 100,
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 1_000_000,
            "check.crcs": True,
            **common(settings, "reader", self._told),
            "group.id": f"{settings.group_prefix}-reader",  # the client wants one; it is never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": settings.fetch_wait_ms,
            "queued.max.messages.kbytes": settings.fetch_buffer_bytes // 1024,
        }

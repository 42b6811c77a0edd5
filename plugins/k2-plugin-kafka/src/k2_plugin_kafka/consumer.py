"""`KafkaConsumer`: reads all partitions of its topics, or those named by `only`, from the offsets it is told.

It joins no group and stores no offset. A poll is empty only where every partition was seen at its end (the client says
so once a partition has none left): "nothing there" is an answer, never a guess about a slow broker. Holes in offsets,
also behind the last record, are passed.

Faults survived: brokers killed, frozen, restarted (`BrokerAwayError`, then it reads on from where it was), a leader
moved, closed while another thread reads. Faults told: retention passed its place, or the place was never given out
(`OffsetGoneError`); the topic is another one now (`TopicChangedError`); bytes whose checksum is wrong
(`LogCorruptError`). A poll that fails has handed out nothing, and moved nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from k2_plugin_kafka.blocks import Versions, blocks_of
from k2_plugin_kafka.client import CLOSING_S, MISSING, SLICE_S, Told, away, common, error_of, logger_of, translated
from k2_plugin_kafka.identity import Identity
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import (
    BrokerError,
    Consumer,
    K2Error,
    LogBlock,
    Metrics,
    OffsetGoneError,
    Offsets,
    Partition,
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
        find: Those of some names as they are at another time.
        versions: By topic.
        metrics: Counts clients that were given up.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        logger: logging.Logger,
        topics: Mapping[str, TopicInfo],
        find: Callable[[Iterable[str]], Mapping[str, TopicInfo]],
        versions: dict[str, Versions],
        metrics: Metrics,
    ) -> None:
        self._settings, self._logger, self._identity = settings, logger, Identity(topics, find)
        self._versions, self._told, self._metrics = versions, Told(settings), metrics
        self._at: dict[Partition, int] = {(n, p): 0 for n, t in topics.items() for p in range(t.partitions)}
        self._wanted = frozenset(self._at)
        self._assigned: set[Partition] = set()
        self._ended: set[Partition] = set()
        self._sought: set[Partition] = set()
        self._doubted: dict[Partition, int] = {}
        self._refused: dict[Partition, int] = {}
        self._held: set[Partition] = set()
        self._client: Client | None = None
        self._reading, self._closed = threading.Lock(), False

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        """The next blocks. See `Consumer.poll`; 0 waits only for what brokers have not answered yet."""
        with self._reading:
            before = dict(self._at)
            try:
                with translated(self._settings, "read", self._told):
                    blocks = self._read(max_records, time.monotonic() + timeout)
                if blocks:
                    self._identity.check()
            except BaseException:
                self._at = before
                self._drop(list(before))
                raise
            return blocks

    def _read(self, most: int, until: float) -> list[LogBlock]:
        # What came since is taken at first: `_ended` tells of ends as they were at the last poll.
        blocks = [] if self._closed else self._taken(self._placed().consume(min(most, ASK_MOST), 0))
        while not blocks:
            if self._closed:
                raise BrokerError("read: the log was closed")
            left = until - time.monotonic()
            if left <= 0 and self._ended >= self._wanted:
                return []
            if left <= -self._settings.answer_timeout_s:
                self._metrics.add("k2_kafka_clients_discarded_total", role="reader")
                self._begin_anew()
                raise away(self._settings, "read: no answer", self._told)
            wait = left if left > 0 else left + self._settings.answer_timeout_s
            blocks = self._taken(self._next(self._placed(), min(most, ASK_MOST), min(wait, SLICE_S)))
        return self._filled(blocks, most)

    def _filled(self, blocks: list[LogBlock], most: int) -> list[LogBlock]:
        """Blocks, and those that follow at once; what fails now is met by the next poll, which has nothing to lose."""
        count = more = sum(map(len, blocks))
        while count < most and more >= BACKLOG and not self._ended >= self._wanted:
            try:
                found = self._taken(self._placed().consume(min(most - count, ASK_MOST), FILL_S))
            except (K2Error, KafkaException):
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
        """Close the client; a poll that another thread is in ends within a second, by an error."""
        self._closed = True
        if self._reading.acquire(timeout=CLOSING_S):
            try:
                self._begin_anew()
            finally:
                self._reading.release()

    def _begin_anew(self) -> None:
        """Another client at the next poll: it knows nothing of the brokers, and so nothing wrong."""
        self._drop(list(self._at))
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _next(self, client: Client, most: int, timeout: float) -> list[Message]:
        """Wait for one message, and take what came with it: `consume` alone would wait until it has all."""
        if found := client.consume(most, 0):
            return found
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
            self._identity.doubt()
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
        """Blocks of what was read; positions move on.

        Raises:
            K2Error: What a partition has next is no record; what came before it was taken at an earlier call.
        """
        ends: list[Message] = []
        if any(map(Message.error, messages)):
            ends = [one for one in messages if one.error() is not None]
            wrong = next((one for one in ends if one.error().code() != KafkaError._PARTITION_EOF), None)  # type: ignore[union-attr]
            if wrong is messages[0]:
                return self._left(wrong)
            if wrong is not None:
                found = self._taken(messages[: messages.index(wrong)])
                self._drop(list(self._at))  # it comes again, and first
                return found
            messages = [one for one in messages if one.error() is None]
        found = [block for one in blocks_of(messages, self._versions) if (block := self._passed(one)) is not None]
        for end in ends:
            self._pass_end((str(end.topic()), int(end.partition() or 0)), int(end.offset() or 0))
        if messages or ends:
            self._told.heard()
        return found

    def _left(self, event: Message) -> list[LogBlock]:
        """What is said of a place that was left since is passed over; where it is said twice, the place was not left: the
        client names the begin of a batch, and a reader may stand within it.

        Raises:
            BrokerError: It is said of where this reader is.
        """
        error, place = event.error(), (str(event.topic()), int(event.partition() or 0))
        offset, at = event.offset(), self._at.get(place, -1)
        assert error is not None
        self._drop(list(self._at))
        gone = error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, *MISSING)
        if offset is not None and 0 <= offset != at and (gone or self._refused.get(place) != at):
            self._refused[place] = at
            return []  # what is gone names the very offset that was asked for
        if gone:
            raise self._gone(place, error)
        raise error_of(self._settings, f"read {place[0]}/{place[1]} at {at}", error, self._told)

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

    def _gone(self, place: Partition, error: KafkaError) -> Exception:
        self._identity.doubt()
        self._identity.check()
        if error.code() in MISSING:
            return error_of(self._settings, f"read {place[0]}/{place[1]}", error, self._told)
        return OffsetGoneError(
            f"{place[0]}/{place[1]}: offset {self._at.get(place, 0)} is not in the log: retention removed it, or it was never "
            f"given out ({error.str()})"
        )

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "fetch.error.backoff.ms": 100,
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 1_000_000,
            **common(settings, "reader", self._told),
            "check.crcs": True,
            "group.id": f"{settings.group_prefix}-reader",  # the client wants one; it is never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": settings.fetch_wait_ms,
            "queued.max.messages.kbytes": settings.fetch_buffer_bytes // 1024,
        }

"""What the log knows by name: topics with their schemas, and registered consumers with what they released."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from k2core.avro.compatibility import differences
from k2core.broker.sealed import CATALOG, read_sealed, write_sealed
from k2core.broker.segment import WHAT_TO_DO
from k2core.errors import LogCorruptError, SchemaError, TopicChangedError
from k2core.interfaces.broker import ConsumerInfo, Partition, TopicChange, TopicInfo, TopicSpec

CONSUMERS = CATALOG + 1


class StoredTopic(msgspec.Struct, frozen=True):
    """A topic as the file has it; `number` is its own within the file, `id` is unique among all logs."""

    number: int
    name: str
    id: str
    partitions: int
    subject: str
    schemas: tuple[str, ...]

    @property
    def info(self) -> TopicInfo:
        """The topic as others see it."""
        return TopicInfo(self.name, self.id, self.partitions)


class Mark(msgspec.Struct):
    """What a consumer had released at a time: next offsets by topic number, one per partition."""

    at_us: int
    offsets: dict[int, list[int]]


class StoredConsumer(msgspec.Struct):
    """A registered consumer: marks rising in time, the last one is the newest; a topic is in all of them or in none."""

    marks: list[Mark]

    def released(self, topic: int, before_us: int) -> npt.NDArray[np.int64] | None:
        """Next offsets released up to a time; None where this consumer does not read the topic."""
        if topic not in self.marks[-1].offsets:
            return None
        newest = np.zeros(len(self.marks[-1].offsets[topic]), np.int64)
        for mark in self.marks:
            if mark.at_us <= before_us and topic in mark.offsets:
                newest = np.array(mark.offsets[topic], np.int64)
        return newest

    def info(self, name: str, topics: Sequence[StoredTopic]) -> ConsumerInfo:
        """The consumer as others see it."""
        newest = self.marks[-1]
        released = {(t.name, p): o for t in topics for p, o in enumerate(newest.offsets.get(t.number, ()))}
        return ConsumerInfo(name=name, released=released, released_us=newest.at_us)

    def add_topic(self, topic: StoredTopic) -> bool:
        """Keep what this consumer has not released of a topic; False where that was so."""
        if topic.number in self.marks[-1].offsets:
            return False
        for mark in self.marks:
            mark.offsets[topic.number] = [0] * topic.partitions
        return True

    def release(
        self, offsets: Mapping[Partition, int], topics: Mapping[str, StoredTopic], now_us: int, slack_us: int
    ) -> bool:
        """Raise the newest mark; marks lie an eighth of the slack apart and go once an older one does their work."""
        newest = {number: list(held) for number, held in self.marks[-1].offsets.items()}
        for (name, partition), offset in offsets.items():
            topic = topics.get(name)
            if topic is not None and topic.number in newest and 0 <= partition < topic.partitions:
                newest[topic.number][partition] = max(newest[topic.number][partition], int(offset))
        if newest == self.marks[-1].offsets:
            return False
        if len(self.marks) > 1 and self.marks[-1].at_us - self.marks[-2].at_us < slack_us // 8:
            self.marks.pop()
        self.marks.append(Mark(now_us, newest))
        while len(self.marks) > 1 and self.marks[1].at_us <= now_us - slack_us:
            self.marks.pop(0)
        return True


_TOPICS = msgspec.json.Decoder(list[StoredTopic])
_CONSUMERS = msgspec.json.Decoder(dict[str, StoredConsumer])


def read_topics(db: sqlite3.Connection) -> dict[str, StoredTopic]:
    """Every topic by name."""
    try:
        return {topic.name: topic for topic in _TOPICS.decode(read_sealed(db, CATALOG))}
    except msgspec.MsgspecError as error:
        raise LogCorruptError(f"log: its list of topics cannot be read ({error}); {WHAT_TO_DO}") from error


def write_topics(db: sqlite3.Connection, topics: Mapping[str, StoredTopic]) -> None:
    """Replace the list of topics."""
    write_sealed(db, CATALOG, msgspec.json.encode(list(topics.values())))


def read_consumers(db: sqlite3.Connection) -> dict[str, StoredConsumer]:
    """Every registered consumer by name."""
    try:
        return _CONSUMERS.decode(read_sealed(db, CONSUMERS))
    except msgspec.MsgspecError as error:
        raise LogCorruptError(f"log: its list of consumers cannot be read ({error}); {WHAT_TO_DO}") from error


def write_consumers(db: sqlite3.Connection, consumers: Mapping[str, StoredConsumer]) -> None:
    """Replace the list of registered consumers."""
    write_sealed(db, CONSUMERS, msgspec.json.encode(consumers))


def changes(spec: TopicSpec, held: StoredTopic | None) -> Iterator[TopicChange]:
    """What `merged` would change, or why it refuses."""
    want, known = f"{spec.partitions} partitions", f"{len(spec.schemas)} schemas"
    if held is None:
        yield TopicChange("topic", spec.name, "", want)
        return
    try:
        after = merged(spec, held, held.number, held.id)
    except TopicChangedError as error:
        yield TopicChange("topic", spec.name, f"{held.partitions} partitions", want, str(error))
    except SchemaError as error:
        yield TopicChange("compatibility", held.subject, f"{len(held.schemas)} schemas", known, str(error))
    else:
        if after != held:
            yield TopicChange("subject", spec.subject, f"{len(held.schemas)} schemas", known)


def with_topics(held: dict[str, StoredTopic], specs: Sequence[TopicSpec]) -> tuple[dict[str, StoredTopic], list[str]]:
    """All topics after some were asked for, and the names of those that are new or changed.

    Raises:
        TopicChangedError, SchemaError: See `merged`.
    """
    after = dict(held)
    for spec in specs:
        number = max((topic.number for topic in after.values()), default=0) + 1
        after[spec.name] = merged(spec, after.get(spec.name), number, secrets.token_hex(8))
    return after, [name for name, topic in after.items() if held.get(name) != topic]


def merged(spec: TopicSpec, held: StoredTopic | None, number: int, new_id: str) -> StoredTopic:
    """The topic after `spec` was asked for: made, given newer schemas, or as it was.

    Raises:
        TopicChangedError: It exists with another number of partitions.
        SchemaError: Its lineage here is not a prefix of the one asked for.
    """
    if held is None:
        return StoredTopic(number, spec.name, new_id, spec.partitions, spec.subject, spec.schemas)
    if held.partitions != spec.partitions:
        raise TopicChangedError(
            f"topic {spec.name} has {held.partitions} partitions in the log, {spec.partitions} are asked for; the number "
            "is fixed once a topic exists: keep it, or start a new log"
        )
    if held.subject != spec.subject or held.schemas != spec.schemas[: len(held.schemas)]:
        raise SchemaError(
            f"subject {held.subject} has {len(held.schemas)} schemas in the log, which are not the first of the "
            f"{len(spec.schemas)} asked for ({spec.subject}): {_lineage_differs(held, spec)}"
        )
    return StoredTopic(held.number, held.name, held.id, held.partitions, held.subject, spec.schemas)


def _lineage_differs(held: StoredTopic, spec: TopicSpec) -> str:
    for version, (there, here) in enumerate(zip(held.schemas, spec.schemas, strict=False), 1):
        if there != here:
            return f"version {version} was changed in place{_in_words(there, here)}"
    if held.subject != spec.subject:
        return "the subject has another name"
    return "a newer k2, or a newer plugin, wrote here: upgrade this one"


def _in_words(there: str, here: str) -> str:
    try:
        return f": {'; '.join(differences(json.loads(there), json.loads(here)))}"
    except (ValueError, AttributeError, TypeError, KeyError):  # what a test put there need be no schema
        return ""

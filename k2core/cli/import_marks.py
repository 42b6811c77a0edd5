"""`Marks`: how far which files are in the log, kept beside the processes' status; only ever a shortcut.

A mark is written after its rows are durable in the log, as records or as dead letters. It counts only for the very topics
it was made for, that of the records and that of the dead letters, and only while each of their partitions holds the record
that was its last one then: its stamp is compared, as tables compare theirs (decision 9). A log that was made anew, put
back from an older copy, or has lost such a record, voids it. Without marks everything is read and appended again, and
dedup drops what is stored: slower, never wrong.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.broker.history import record_from, stamp_of
from k2core.errors import OffsetGoneError
from k2core.interfaces.broker import Broker, Consumer, Offsets, Partition
from k2core.interfaces.importer import Mark


class Marks:
    """Marks of the files of one topic.

    Args:
        folder: Where they are kept.
        log: Whose topics they are.
        topics: Names of the topics that rows go to: that of the records, which names the marks, and the dead letters'.
        logger: Says when they cannot be read.
    """

    def __init__(self, folder: Path, log: Broker, topics: Sequence[str], logger: logging.Logger) -> None:
        self._path, self._log, self._topics, self._logger = folder / f"{topics[0]}.json", log, list(topics), logger
        there = log.topics()
        self._ids = {topic: there[topic].id for topic in topics}
        self._files: dict[str, Mark] = self._load()

    @property
    def all(self) -> Sequence[Mark]:
        """Every mark that counts."""
        return list(self._files.values())

    def keep(self, mark: Mark | None) -> None:
        """Write a file's newest mark; one that is unchanged costs nothing."""
        if mark is None or self._files.get(str(mark["file"])) == mark:
            return
        self._files[str(mark["file"])] = mark
        stamps = [[*partition, *stamp] for partition, stamp in self._stamps(self._ends()).items()]
        told = {"topic_ids": self._ids, "stamps": stamps, "files": self._files}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(f".{os.getpid()}.new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _load(self) -> dict[str, Mark]:
        try:
            told: Mapping[str, Any] = json.loads(self._path.read_text("utf-8"))
            if told.get("topic_ids") != self._ids:
                return {}
            there = {(str(name), int(n)): (int(end), str(stamp)) for name, n, end, stamp in told["stamps"]}
            now = self._stamps({partition: end for partition, (end, _) in there.items()})
            return dict(told["files"]) if now == there and all(stamp for _, stamp in there.values()) else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._logger.warning("import marks %s cannot be read, everything is read again: %s", self._path, error)
            return {}

    def _ends(self) -> dict[Partition, int]:
        """Next offset of each partition that holds anything."""
        starts, ends = self._log.starts(self._topics), self._log.ends(self._topics)
        return {partition: end for partition, end in ends.items() if end > starts.get(partition, 0)}

    def _stamps(self, ends: Mapping[Partition, int]) -> dict[Partition, tuple[int, str]]:
        """By partition, an offset and the stamp of the record before it; "" where the log does not hold that record."""
        consumer, log_ends = self._log.consumer(self._topics), self._log.ends(self._topics)
        try:
            return {place: (end, self._stamp(consumer, log_ends, place, end)) for place, end in ends.items()}
        finally:
            consumer.close()

    def _stamp(self, consumer: Consumer, log_ends: Offsets, partition: Partition, end: int) -> str:
        if log_ends.get(partition, 0) < end:
            return ""
        try:
            found = record_from(consumer, log_ends, partition, end - 1)
        except OffsetGoneError:
            return ""
        return stamp_of(found) if found and found.first_offset == end - 1 else ""

"""`Marks`: how far which files are in the log, kept beside the processes' status; only ever a shortcut.

A mark is written after its rows are durable in the log. It counts only for the very topic it was made for, and only
while each partition holds the record that was its last one then: its stamp is compared, as tables compare theirs (decision
9). A log that was made anew, put back from an older copy, or has lost that record, voids it. Without marks everything is
read and appended again, and dedup drops what is stored: slower, never wrong.
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
from k2core.interfaces.broker import Broker, Consumer, Offsets
from k2core.interfaces.importer import Mark


class Marks:
    """Marks of one topic.

    Args:
        folder: Where they are kept.
        log: Whose topic it is.
        topic: Its name.
        logger: Says when they cannot be read.
    """

    def __init__(self, folder: Path, log: Broker, topic: str, logger: logging.Logger) -> None:
        self._path, self._log, self._topic, self._logger = folder / f"{topic}.json", log, topic, logger
        self._id = log.topics()[topic].id
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
        told = {"topic_id": self._id, "stamps": self._stamps(self._ends()), "files": self._files}
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
            there = {int(place): (int(end), str(stamp)) for place, (end, stamp) in dict(told["stamps"]).items()}
            if told["topic_id"] != self._id:
                return {}
            now = self._stamps({place: end for place, (end, _) in there.items()})
            return dict(told["files"]) if now == there and all(stamp for _, stamp in there.values()) else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._logger.warning("import marks %s cannot be read, everything is read again: %s", self._path, error)
            return {}

    def _ends(self) -> dict[int, int]:
        """Next offset of each partition that holds anything."""
        starts = self._log.starts([self._topic])
        return {p[1]: end for p, end in self._log.ends([self._topic]).items() if end > starts.get(p, 0)}

    def _stamps(self, ends: Mapping[int, int]) -> dict[int, tuple[int, str]]:
        """By partition, an offset and the stamp of the record before it; "" where the log does not hold that record."""
        consumer, log_ends = self._log.consumer([self._topic]), self._log.ends([self._topic])
        try:
            return {place: (end, self._stamp(consumer, log_ends, place, end)) for place, end in ends.items()}
        finally:
            consumer.close()

    def _stamp(self, consumer: Consumer, log_ends: Offsets, place: int, end: int) -> str:
        if log_ends.get((self._topic, place), 0) < end:
            return ""
        try:
            found = record_from(consumer, log_ends, (self._topic, place), end - 1)
        except OffsetGoneError:
            return ""
        return stamp_of(found) if found and found.first_offset == end - 1 else ""

"""`Marks`: how far which files are in the log, kept beside the processes' status; only ever a shortcut.

A mark is written after its rows are durable in the log. It counts only for the very topic it was made for, and only
while the log reaches as far as it did then: a log that was made anew, or put back from an older copy, voids it. Without
marks everything is read and appended again, and dedup drops what is stored: slower, never wrong.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.interfaces.broker import Broker
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
        told = {"topic_id": self._id, "ends": self._ends(), "files": self._files}
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
            ends, now = dict(told["ends"]), self._ends()
            whole = told["topic_id"] == self._id and all(now.get(p, 0) >= int(end) for p, end in ends.items())
            return dict(told["files"]) if whole else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._logger.warning("import marks %s cannot be read, everything is read again: %s", self._path, error)
            return {}

    def _ends(self) -> dict[str, int]:
        return {str(partition): end for (_, partition), end in self._log.ends([self._topic]).items()}

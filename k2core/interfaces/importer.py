"""`Importer`: files into the log, through the same pipeline that captures exchanges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import ConnectorFacts
from k2core.interfaces.normalizer import Normalizer

Mark = Mapping[str, Any]
"""How to go on behind rows that are in the log: JSON-able; `file` names whose rows they are, `row` the last of them."""


class ImportSource(Connector):
    """One file as a connector: every frame is one row, and `frames` ends behind the last one.

    A frame's number is its row's (the first row is 1), its batch's `origin` the file's name: so a dead letter names
    both. Rows of a batch lie in the file's order, without holes.
    """

    @property
    @abstractmethod
    def known(self) -> int:
        """Rows that were passed over, because a mark proved them to be in the log."""

    @abstractmethod
    def mark(self, frames: int) -> Mark | None:
        """How to go on behind the first `frames` frames that were yielded; None where nothing was."""

    def share(self) -> float | None:
        """How much of the file was read, from 0 to 1; None where nobody can tell."""
        return None


class Importer(ABC):
    """Reads files of one layout into one data type of one exchange.

    Attributes:
        facts: Exchange, asset class and, in `channels`, the one data type with what holds of its ids.
        normalizer: Turns what its sources yield into records. It refuses what the writer's checks would refuse, so that
            the dead letter names file and row.
    """

    facts: ConnectorFacts
    normalizer: Normalizer

    @abstractmethod
    def source(self, path: Path, marks: Sequence[Mark]) -> ImportSource:
        """A file, not opened yet.

        Args:
            path: Which.
            marks: Of all files that were imported into this topic. A mark counts only where the file proves to begin
                with the very rows that it stands for; else everything is read, and dedup drops what is stored already.
        """

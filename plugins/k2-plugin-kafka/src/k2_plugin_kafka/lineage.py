"""`Lineages`: which schema ids belong to a topic's subject, and which version each of them is. Kept on disk.

    {schema_cache}/{subject}.json   {"subject": …, "schemas": [canonical text, oldest first], "ids": {"7": 1, …}}

Only a subject's own lineage counts: an id of any other subject is version 0, and such a record a dead letter. Faults
survived: a registry that is away or frozen, now or at the start (what ran before runs on from the disk), a file that was
cut (it is read as if it were not there, and written anew: files are replaced whole). A registry that was itself replaced
and gives an id to another schema is an error, for nobody could tell any more what old records hold.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from k2_plugin_kafka.registry import Registry, canonical, prefix_of
from k2core.plugin import BrokerAwayError, SchemaError

ASK_AGAIN_S = 10.0
"""Between two questions about ids that a subject does not have."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A subject's schemas.

    Args:
        subject: Its name.
        schemas: Canonical texts, oldest first.
        ids: Version (1 …) of every id that ever stood for one of them.
    """

    subject: str
    schemas: tuple[str, ...] = ()
    ids: dict[int, int] = field(default_factory=dict)

    def id_of(self, version: int) -> int | None:
        """The newest id of a version."""
        return next((one for one in reversed(self.ids) if self.ids[one] == version), None)


class Lineages:
    """Every subject's lineage. Safe to use from several threads.

    Args:
        registry: Where they are registered.
        folder: Where they are kept.
        logger: Says when the registry is done without.
        wanted: The lineage that k2 has for a subject, where it has one.
    """

    def __init__(
        self, registry: Registry, folder: Path, logger: logging.Logger, wanted: Callable[[str], Sequence[str]]
    ) -> None:
        self._registry, self._folder, self._logger, self._wanted = registry, folder, logger, wanted
        self._held: dict[str, Lineage] = {}
        self._asked: dict[str, float] = {}
        self._told = False
        self._lock = threading.Lock()

    def get(self, subject: str) -> Lineage:
        """A subject's lineage; from the disk where the registry is away.

        Raises:
            SchemaError: What is registered is not the beginning of k2's own.
            BrokerAwayError: The registry is away, and nothing is kept here.
        """
        found = self._known(subject)
        self.require(found)
        return found

    def version(self, subject: str, schema_id: int) -> int:
        """The version that an id is of; 0 where it is of no version of this subject.

        Raises:
            BrokerAwayError: The id is new, and the registry, which knows, is away.
        """
        held = self._known(subject)
        with self._lock:
            if schema_id not in held.ids and time.monotonic() - self._asked.get(subject, float("-inf")) > ASK_AGAIN_S:
                held = self._held[subject] = self._fresh(subject)
                self._asked[subject] = time.monotonic()
            return held.ids.get(schema_id, 0)

    def refresh(self, subject: str) -> Lineage:
        """As the registry has it now.

        Raises:
            BrokerAwayError: It is away.
        """
        with self._lock:
            self._held[subject] = self._fresh(subject)
            return self._held[subject]

    def require(self, lineage: Lineage) -> None:
        """Refuse a lineage that is not the beginning of k2's own.

        Raises:
            SchemaError: See above.
        """
        if why := unlike(lineage, self._wanted(lineage.subject)):
            raise SchemaError(why)

    def _known(self, subject: str) -> Lineage:
        with self._lock:
            if subject not in self._held:
                self._held[subject] = self._load(subject)
            return self._held[subject]

    def _load(self, subject: str) -> Lineage:
        try:
            return self._fresh(subject)
        except BrokerAwayError as error:
            found = self._read(subject)
            if not found.ids:
                raise
            if not self._told:
                self._logger.warning("going on with the schema ids kept in %s: %s", self._folder, error)
            self._told = True
            return found

    def _fresh(self, subject: str) -> Lineage:
        """The registry's answer, with ids that it gave out before, kept for the next time."""
        kept = self._held.get(subject) or self._read(subject)
        versions = [(one, canonical(text)) for one, text in self._registry.versions(subject)]
        self._told = False
        schemas = tuple(dict.fromkeys(text for _, text in versions))
        ids = {
            one: schemas.index(kept.schemas[v - 1]) + 1 for one, v in kept.ids.items() if kept.schemas[v - 1] in schemas
        }
        for one, text in versions:
            version = schemas.index(text) + 1
            if ids.get(one, version) != version:
                raise SchemaError(
                    f"subject {subject}: id {one} was version {ids[one]} and is now version {version}: the schema registry "
                    f"was replaced, and records in the topic would be misread; bring the old one back, or, if the topic is "
                    f"new too, delete {self._file(subject)}"
                )
            ids.pop(one, None)
            ids[one] = version
        found = Lineage(subject, schemas, ids)
        if found != kept and schemas:
            self._write(found)
        return found

    def _file(self, subject: str) -> Path:
        return self._folder / f"{quote(subject, safe='')}.json"

    def _read(self, subject: str) -> Lineage:
        try:
            held = json.loads(self._file(subject).read_bytes())
            ids = {int(one): int(version) for one, version in held["ids"].items()}
            found = Lineage(subject, tuple(held["schemas"]), ids)
            return found if set(ids.values()) <= set(range(1, len(found.schemas) + 1)) else Lineage(subject)
        except FileNotFoundError:
            return Lineage(subject)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._logger.warning("%s cannot be read, and is left out: %s", self._file(subject), error)
            return Lineage(subject)

    def _write(self, lineage: Lineage) -> None:
        """Replace the file; a disk that takes none costs only what the file is for."""
        held = {"subject": lineage.subject, "schemas": lineage.schemas, "ids": lineage.ids}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as file:
                json.dump(held, file)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._file(lineage.subject))
        except OSError as error:
            self._logger.warning("schema ids are not kept, %s: %s", self._file(lineage.subject), error)


def unlike(lineage: Lineage, wanted: Sequence[str]) -> str:
    """Why a registered lineage is not the beginning of k2's own; empty where it is, or k2 has none."""
    if not wanted or prefix_of(lineage.schemas, [canonical(text) for text in wanted]):
        return ""
    strange = next((n for n, (a, b) in enumerate(zip(lineage.schemas, map(canonical, wanted), strict=False), 1) if a != b),
                   len(wanted) + 1)  # fmt: skip
    return (
        f"subject {lineage.subject} has {len(lineage.schemas)} schemas in the registry, and number {strange} is none of "
        f"the {len(wanted)} that this k2 has: a newer k2 or somebody else registered it; `k2 schema check` shows the "
        "difference: upgrade k2, or delete that version from the subject"
    )

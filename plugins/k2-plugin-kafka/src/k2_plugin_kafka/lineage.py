"""`Lineages`: which schema ids belong to a topic's subject, and which version each of them is. Kept on disk.

    {schema_cache}/{subject}.json   {"subject": …, "schemas": [canonical text, oldest first], "ids": {"7": 1, …}}

Only a subject's own lineage counts: an id of any other subject is version 0, and such a record a dead letter. Versions are
counted in k2's own lineage, where it has one: what the registry forgets changes no number, and an id once known stays.
Faults survived: a registry that is away or frozen, now or at the start (what ran before runs on from the disk), subjects or
versions deleted from it (old records are read on; appending waits for `k2 topics apply`), a file that was cut (it is read
as if it were not there, and written anew: files are replaced whole). A registry that was itself replaced and gives an id to
another schema is an error, for nobody could tell any more what old records hold.
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
from k2core.plugin import BrokerAwayError, Metrics, SchemaError, TopicMissingError

ASK_AGAIN_S = 10.0
"""Between two questions about ids that a subject does not have."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A subject's schemas.

    Args:
        subject: Its name.
        schemas: Canonical texts that are registered, oldest first.
        ids: Version (1 …) of every id that ever stood for one of `order`.
        order: Canonical texts that versions are counted by: k2's own, then others that are or were registered.
    """

    subject: str
    schemas: tuple[str, ...] = ()
    ids: dict[int, int] = field(default_factory=dict)
    order: tuple[str, ...] = ()

    def id_of(self, version: int) -> int | None:
        """The newest id of a version; None where it is not registered (any more)."""
        if not 0 < version <= len(self.order) or self.order[version - 1] not in self.schemas:
            return None
        return next((one for one in reversed(self.ids) if self.ids[one] == version), None)

    def texts(self) -> dict[int, str]:
        """The schema of every id."""
        return {one: self.order[version - 1] for one, version in self.ids.items()}


class Lineages:
    """Every subject's lineage. Safe to use from several threads.

    Args:
        registry: Where they are registered.
        folder: Where they are kept.
        logger: Says when the registry is done without.
        wanted: The lineage that k2 has for a subject, where it has one.
        metrics: Counts uses of what is kept; None: nobody looks.
    """

    def __init__(
        self,
        registry: Registry,
        folder: Path,
        logger: logging.Logger,
        wanted: Callable[[str], Sequence[str]],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._registry, self._folder, self._logger, self._wanted = registry, folder, logger, wanted
        self._held: dict[str, Lineage] = {}
        self._asked: dict[str, float] = {}
        self._told = False
        self._lock = threading.Lock()

    def get(self, subject: str) -> Lineage:
        """A subject's lineage; from the disk where the registry is away.

        Raises:
            SchemaError: What is registered is not the beginning of k2's own.
            TopicMissingError: Nothing is registered, and nothing ever was that is known here.
            BrokerAwayError: The registry is away, and nothing is kept here.
        """
        found = self._known(subject)
        self.require(found)
        if not found.ids:  # every record would be taken for a stranger's
            found = self.refresh(subject)
            self.require(found)
        if not found.ids:
            raise TopicMissingError(f"subject {subject} has no schema in the registry: run k2 topics apply")
        return found

    def version(self, subject: str, schema_id: int) -> int:
        """The version that an id is of; 0 where it is of no version of this subject. One beyond k2's own is a newer k2's.

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
            self._metrics.add("k2_kafka_registry_cache_uses_total")
            return found

    def _fresh(self, subject: str) -> Lineage:
        """The registry's answer, with ids that it gave out before, kept for the next time."""
        kept = self._read(subject)
        before = self._held.get(subject, Lineage(subject))
        versions = [(one, _text(said)) for one, said in self._registry.versions(subject)]
        self._told = False
        known = kept.texts() | before.texts()
        for one, text in versions:
            if known.pop(one, text) != text:
                raise SchemaError(
                    f"subject {subject}: id {one} stands for another schema now than before: the schema registry "
                    f"was replaced, and records in the topic would be misread; bring the old one back, or, if the topic is "
                    f"new too, delete {self._file(subject)}"
                )
            known[one] = text
        own = map(canonical, self._wanted(subject))
        schemas = tuple(dict.fromkeys(text for _, text in versions))
        order = tuple(dict.fromkeys([*own, *(before.order or kept.order), *schemas, *known.values()]))
        found = Lineage(subject, schemas, {one: order.index(text) + 1 for one, text in known.items()}, order)
        if found != kept and found.ids:
            self._write(found)
        return found

    def _file(self, subject: str) -> Path:
        return self._folder / f"{quote(subject, safe='')}.json"

    def _read(self, subject: str) -> Lineage:
        try:
            held = json.loads(self._file(subject).read_bytes())
            ids = {int(one): int(version) for one, version in held["ids"].items()}
            found = Lineage(subject, tuple(held["schemas"]), ids, tuple(held.get("order", held["schemas"])))
            whole = set(ids.values()) <= set(range(1, len(found.order) + 1)) and held["subject"] == subject
            return found if whole and all(isinstance(one, str) for one in found.order) else Lineage(subject)
        except FileNotFoundError:
            return Lineage(subject)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._logger.warning("%s cannot be read, and is left out: %s", self._file(subject), error)
            return Lineage(subject)

    def _write(self, lineage: Lineage) -> None:
        """Replace the file; a disk that takes none costs only what the file is for."""
        held = {"subject": lineage.subject, "schemas": lineage.schemas, "ids": lineage.ids, "order": lineage.order}
        made: Path | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False) as file:
                made = Path(file.name)
                json.dump(held, file)
                file.flush()
                os.fsync(file.fileno())
            made.replace(self._file(lineage.subject))
        except OSError as error:
            if made is not None:
                made.unlink(missing_ok=True)
            self._logger.warning("schema ids are not kept, %s: %s", self._file(lineage.subject), error)


def _text(said: str) -> str:
    """A registered schema in its one form; what is no Avro stays as it is, and is none of k2's."""
    try:
        return canonical(said)
    except ValueError:
        return said


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

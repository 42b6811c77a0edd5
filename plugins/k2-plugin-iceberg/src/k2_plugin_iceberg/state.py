"""A table's metadata as last read, and the swap from one version of it to the next.

`Base` is metadata together with the location it was read from. Whatever is decided by looking at a base and then
swapped from it holds: the swap fails if anyone changed the table in between, be it rows, offsets or an owner's token.
Survived: metadata files deleted while they are being read (the table moved on: read again), lost replies (the caller
looks at the head again; see `commit.py`).
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyiceberg.serializers import FromInputFile
from pyiceberg.table.snapshots import MetadataLogEntry
from sqlalchemy.exc import SQLAlchemyError

from k2_plugin_iceberg.files import local, sync_folders, write_file
from k2core.plugin import Clock, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from sqlalchemy import Connection

    from k2_plugin_iceberg.catalog import LakeCatalog

READ_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Base:
    """Metadata, and the location that a swap from it is conditioned on."""

    location: str
    metadata: TableMetadata


class TableState:
    """Reads and swaps one table's metadata. Any number of threads."""

    def __init__(self, catalog: LakeCatalog, table: Table, clock: Clock, *, versions: int) -> None:
        self._catalog, self.clock, self._versions = catalog, clock, versions
        self._name: tuple[str, str] = tuple(table.name())  # type: ignore[assignment]
        self.io = table.io
        self._last = Base(table.metadata_location, table.metadata)

    @property
    def name(self) -> str:
        """The table's name, for messages."""
        return ".".join(self._name)

    @property
    def folder(self) -> str:
        """The table's location, as `file:///…/market.trades`."""
        return self._last.metadata.location

    def read(self) -> Base:
        """The newest metadata; parsed only where it changed.

        Raises:
            SinkError: The catalog or the metadata cannot be read.
        """
        for attempt in range(READ_ATTEMPTS):
            try:
                location = self._catalog.location(self._name)
                if location == self._last.location:
                    return self._last
                if location is None:
                    raise SinkError(f"table {self.name} is gone from the catalog: somebody dropped it")
                self._last = Base(location, FromInputFile.table_metadata(self.io.new_input(location)))
                return self._last
            except FileNotFoundError as error:  # the table moved on and its older metadata was deleted
                missing = error
            except SQLAlchemyError as error:
                if attempt + 1 == READ_ATTEMPTS:
                    raise SinkError(f"catalog of table {self.name} cannot be read: {error}") from error
        raise SinkError(f"metadata of table {self.name} cannot be read: {missing}")

    def now_ms(self, base: Base) -> int:
        """The time of a change to a base: the clock's, never before the last change."""
        return max(self.clock.now_ms(), base.metadata.last_updated_ms)

    def swap(
        self, base: Base, also: Callable[[Connection], bool] | None = None, **changes: Any
    ) -> Base | None:  # fmt: skip
        """Write the metadata with some fields changed, durably, and make it the table's.

        Args:
            base: What the swap is conditioned on.
            also: See `LakeCatalog.swap`.
            changes: Fields of the metadata.

        Returns:
            The new base; None where somebody changed the table since `base` was read, and nothing happened.

        Raises:
            SQLAlchemyError: The outcome is unknown.
        """
        changes.setdefault("last_updated_ms", self.now_ms(base))
        logged = [*base.metadata.metadata_log, _logged(base)]
        metadata = base.metadata.model_copy(update={**changes, "metadata_log": logged[-self._versions :]})
        new = Base(self._next_location(base), metadata)
        path = local(new.location)
        write_file(path, metadata.model_dump_json().encode())
        sync_folders([path.parent])
        where = (self._name, base.location, new.location)
        if not (self._catalog.swap(*where) if also is None else self._catalog.swap(*where, also)):
            path.unlink(missing_ok=True)
            return None
        self._last = new
        for entry in logged[: -self._versions]:
            with contextlib.suppress(OSError):  # the swap has landed, whatever happens now; a sweep comes later
                local(entry.metadata_file).unlink(missing_ok=True)
        return new

    def _next_location(self, base: Base) -> str:
        version = int(base.location.rpartition("/")[2].partition("-")[0]) + 1
        return f"{self.folder}/metadata/{version:05d}-{uuid.uuid4()}.metadata.json"


def _logged(base: Base) -> MetadataLogEntry:
    facts = {"metadata-file": base.location, "timestamp-ms": base.metadata.last_updated_ms}
    return MetadataLogEntry.model_validate(facts)

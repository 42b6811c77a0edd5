"""`Entry`: what one commit wants of a table, whoever lands it; and what a table's progress is after it.

As text it is what a writer leaves for the committer that is at work (`queue.py`): of files only their entries travel.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from k2_plugin_iceberg import recorded as spans
from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.offsets import Progress, pack, unpack
from k2_plugin_iceberg.owners import require_owned
from k2core.plugin import CommitConflictError, LogFacts, Offsets, Ownership, SinkError, merged_shed

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

VERSION = 1
_PLAIN = ("file_path", "record_count", "file_size_in_bytes", "sort_order_id")
_COUNTS = ("value_counts", "null_value_counts")
_BOUNDS = ("lower_bounds", "upper_bounds")


@dataclass(frozen=True, slots=True)
class Entry:
    """See `SinkTable.commit` for what these are."""

    files: Sequence[DataFile]
    owned: Ownership
    expect: Offsets
    offsets: Offsets
    facts: LogFacts

    def after(self, metadata: TableMetadata, now: Progress) -> Progress:
        """The table's progress after this.

        Args:
            metadata: The table as it is: whose tokens stand.
            now: The progress to go on from: its own, or that after other entries of the same commit.

        Raises:
            FencedError: Someone else's token stands on some of the partitions.
            CommitConflictError: The offsets are not as expected, or files are gone.
            SinkError: The caller counts wrongly.
        """
        topic_ids = require_owned(metadata, self.owned)
        require_files(self.files)
        self._require_expected(metadata.location, now.offsets)
        still = {p: s for p, s in now.stamps.items() if self.offsets.get(p, now.offsets.get(p)) == now.offsets.get(p)}
        return Progress(
            offsets={**now.offsets, **self.offsets},
            topic_ids={**now.topic_ids, **topic_ids},
            stamps={**still, **self.facts.stamps},
            gone=(*now.gone, *self.facts.gone),
            shed=merged_shed(now.shed, self.facts.shed),
        )

    def _require_expected(self, table: str, now: Offsets) -> None:
        wanted = {p: (self.expect.get(p, 0), now.get(p, 0)) for p in self.owned.partitions}
        moved = {p: both for p, both in wanted.items() if both[0] != both[1]}
        if moved:
            (topic, partition), (expected, found) = min(moved.items())
            raise CommitConflictError(
                f"table {table} is at other offsets than expected on {len(moved)} partitions, first "
                f"{topic}/{partition}: {found} instead of {expected}. Nothing was stored; start again from the head"
            )
        strangers = sorted(p for p in self.offsets if p not in self.owned.partitions)
        back = sorted(p for p, o in self.offsets.items() if o < now.get(p, 0))
        if strangers or back:
            what = (
                f"{strangers[0]} is not owned" if strangers else f"{back[0]} would go back to {self.offsets[back[0]]}"
            )
            raise SinkError(f"commit to table {table} refused: partition {what}; the caller counts wrongly")

    def text(self) -> str:
        """For `read`, perhaps in another process."""
        ids = {topic: "" for topic, _ in self.owned.partitions}
        named = {spans.name_of(f.file_path): getattr(f, "recorded", None) for f in self.files}
        return json.dumps(
            {
                "v": VERSION,
                "token": self.owned.token,
                "owned": sorted(self.owned.partitions),
                "expect": pack(self.expect, ids),
                "after": pack(self.offsets, ids, self.facts.stamps, self.facts.gone, self.facts.shed),
                "files": [_told(file) for file in self.files],
                "spans": spans.pack({name: one for name, one in named.items() if one is not None}),
            },
            separators=(",", ":"),
        )


def read(text: str) -> Entry | None:
    """An entry from its text; None where a later version wrote it."""
    told = json.loads(text)
    if told["v"] != VERSION:
        return None
    after, found = unpack(told["after"]), spans.unpack(told["spans"].encode())
    return Entry(
        files=[_file(one, found) for one in told["files"]],
        owned=Ownership(told["token"], frozenset((t, p) for t, p in told["owned"])),
        expect=unpack(told["expect"]).offsets,
        offsets=after.offsets,
        facts=LogFacts(stamps=after.stamps, gone=after.gone, shed=after.shed),
    )


def require_files(files: Sequence[Any]) -> None:
    """Check that staged files still exist: a writer frozen for a day may find them swept away.

    Raises:
        CommitConflictError: They do not.
    """
    missing = [f.file_path for f in files if not local(f.file_path).exists()]
    if missing:
        raise CommitConflictError(
            f"{len(missing)} staged files are gone, first {missing[0]}: they waited too long for their commit and "
            "maintenance deleted them. Nothing was stored; start again from the head"
        )


def _told(file: DataFile) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(file, name) for name in _PLAIN}
    told["partition"] = list(file.partition._data)
    for name in _COUNTS:
        told[name] = sorted(getattr(file, name).items())
    for name in _BOUNDS:
        told[name] = sorted((i, base64.b64encode(b).decode()) for i, b in getattr(file, name).items())
    return told


def _file(told: dict[str, Any], found: dict[str, spans.Recorded]) -> DataFile:
    metrics: dict[str, Any] = {name: dict(told[name]) for name in _COUNTS}
    metrics |= {name: {i: base64.b64decode(b) for i, b in told[name]} for name in _BOUNDS}
    made = DataFile.from_args(
        content=DataFileContent.DATA,
        file_format=FileFormat.PARQUET,
        partition=Record(*told["partition"]),
        column_sizes=None,
        nan_value_counts=None,
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        **{name: told[name] for name in _PLAIN},
        **metrics,
    )
    made.recorded = found.get(spans.name_of(told["file_path"]))
    return made

"""Writing rows to data files that no snapshot names yet, durably.

When `write` returns, every file and every folder on the way to it is synced: the commit that follows may point to them.
Survived: a crash or power cut at any point; what was written and never committed is an orphan that maintenance deletes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from k2_plugin_iceberg.files import make_folder, sync_folders, write_file
from k2_plugin_iceberg.layout import Layout, Segment
from k2_plugin_iceberg.recorded import Recorded

if TYPE_CHECKING:
    import pyarrow as pa

SORT_ORDER_ID = 1


class Staging:
    """Writes data files below one folder."""

    def __init__(self, layout: Layout, folder: Path, spec_id: int, pool: ThreadPoolExecutor) -> None:
        self._layout, self._folder, self._spec_id, self._pool = layout, folder, spec_id, pool

    def write(self, rows: pa.Table, *, lasting: bool = False) -> list[DataFile]:
        """Sort rows and write one file for each date and bucket; durable on return.

        Args:
            rows: In the data type's table schema.
            lasting: Whether the files are not soon compacted, so that size counts more than time.
        """
        if not rows.num_rows:
            return []
        ordered, segments = self._layout.arrange(rows)
        bounds, recorded = self._layout.bounds(ordered, segments), self._layout.recorded(ordered, segments)
        paths = [self._folder / self._layout.file_name(s) for s in segments]
        for folder in {p.parent for p in paths}:
            make_folder(folder)
        sizes = self._files(ordered, segments, paths, lasting)
        sync_folders({p.parent for p in paths})
        return [
            self._entry(segment, path, size, bounds.of(i), recorded[i])
            for i, (segment, path, size) in enumerate(zip(segments, paths, sizes, strict=True))
        ]

    @property
    def schema_id(self) -> int:
        """The table's schema that files are written with."""
        return self._layout.schema_id

    def read(self, path: Path) -> pa.Table:
        """The rows of a data file."""
        return self._layout.decode(path)

    def _files(self, rows: pa.Table, segments: list[Segment], paths: list[Path], lasting: bool) -> list[int]:
        """Encode one file after the other; their syncs, which only wait, run beside."""
        jobs, sizes = [], []
        try:
            for segment, path in zip(segments, paths, strict=True):
                data = self._layout.encode(rows.slice(segment.start, segment.stop - segment.start), lasting=lasting)
                jobs.append(self._pool.submit(write_file, path, memoryview(data)))
                sizes.append(int(data.size))
            for job in jobs:
                job.result()
        except OSError:  # on a full disk, what was written must not make it fuller with every attempt
            wait(jobs)
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        return sizes

    def _entry(self, segment: Segment, path: Path, size: int, metrics: dict[str, Any], recorded: Recorded) -> DataFile:
        entry = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"file://{path}",
            file_format=FileFormat.PARQUET,
            partition=Record(segment.date, segment.bucket),
            record_count=segment.stop - segment.start,
            file_size_in_bytes=size,
            column_sizes=None,
            nan_value_counts=None,
            key_metadata=None,
            split_offsets=None,
            equality_ids=None,
            sort_order_id=SORT_ORDER_ID,
            spec_id=self._spec_id,
            **metrics,
        )
        entry.recorded = recorded  # no field of Iceberg's: the manifest's header tells it
        return entry

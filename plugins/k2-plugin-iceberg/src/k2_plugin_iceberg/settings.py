"""Settings that the Iceberg sink and its query source share: one section, `[sinks.NAME]`, feeds both.

Imports nothing heavy: `k2 config` and `k2 plugins` read this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from k2core.plugin import Settings


class IcebergSettings(Settings):
    """`[sinks.lake]` with `use = "iceberg"`."""

    warehouse: Path = Field(
        Path("data/warehouse"), description="Folder of the tables and their catalog.", json_schema_extra={"path": True}
    )
    catalog_uri: str | None = Field(
        None, description="SQL catalog, as sqlalchemy spells it; default: SQLite at WAREHOUSE/catalog.db."
    )
    catalog_name: str = Field("k2", min_length=1, description="Name of the catalog; foreign engines must use it too.")
    catalog_busy_s: float = Field(5, gt=0, description="How long to wait for the catalog's write lock.")
    compression: Literal["zstd", "snappy"] = Field("zstd", description="Codec of data files.")
    compression_level: int = Field(3, ge=1, le=19, description="Level of zstd.")
    fast_rows: int = Field(
        4096, ge=0, description="New files of fewer rows use Snappy (half the CPU); compaction rewrites them soon."
    )
    row_group_rows: int = Field(65_536, ge=1024, description="Rows of a Parquet row group, at most.")
    commit_attempts: int = Field(12, ge=1, description="Times a commit is tried again after another one came first.")
    commit_together: bool = Field(
        True, description="Writers that meet at a table commit together, by the hand of one of them."
    )
    commit_wait_s: float = Field(10, gt=0, description="How long a commit waits for its turn among others, at most.")
    snapshots_to_keep: int = Field(30, ge=2, description="Newest snapshots that stay readable.")
    hour_tags: int = Field(48, ge=0, description="Hours for which the last snapshot of each hour is kept, tagged.")
    day_tags: int = Field(31, ge=0, description="Days for which the last snapshot of each day is kept, tagged.")
    metadata_versions: int = Field(30, ge=1, description="Older metadata files that are kept.")
    manifest_merge_min: int = Field(20, ge=2, description="Manifests of one size that are merged into one.")
    slice_minutes: int = Field(15, ge=1, le=60, description="Rows appended in one slice are compacted together.")
    slice_settle_s: float = Field(120, ge=0, description="Quiet time after which a slice counts as closed.")
    compact_rows: int = Field(524_288, ge=1024, description="Rows of a compacted file, at most.")
    grace_s: float = Field(
        3600, ge=0, description="A file is deleted once it was seen unreachable for so long; longer than any pin."
    )
    orphan_grace_s: float = Field(
        86_400, ge=0, description="A file that no snapshot ever held (a crash left it) is deleted at this age."
    )
    duckdb_threads: int = Field(2, ge=1, description="Threads of DuckDB.")
    duckdb_memory: str = Field("1GB", description="Memory of DuckDB, at most.")
    cursors: int = Field(5, ge=1, description="DuckDB cursors: queries that scan at once.")

    cached_snapshots: int = Field(8, ge=1, description="Snapshots whose lists of files are kept in memory, a table.")
    cached_files: int = Field(
        100_000, ge=1, description="Files whose manifest entries are kept in memory, a table; about 1 kB each."
    )
    remembered_spans: int = Field(
        100_000, ge=1, description="Spans of ids kept in memory that had to be read from files, a table."
    )

    @property
    def root(self) -> Path:
        """The warehouse, absolute."""
        return self.warehouse.absolute()

    @property
    def uri(self) -> str:
        """The catalog's address."""
        return self.catalog_uri or f"sqlite:///{self.root / 'catalog.db'}"

    @property
    def is_there(self) -> bool:
        """Whether there is a catalog: of a database server only opening it can tell."""
        file = self.uri.partition("?")[0].removeprefix("sqlite:///")
        return file == self.uri.partition("?")[0] or Path(file).exists()

    def table_folder(self, table: str) -> Path:
        """The folder of a table (`market.trades`): `data/` and `metadata/` lie in it."""
        return self.root / table

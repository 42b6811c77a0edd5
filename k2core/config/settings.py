"""Core's own settings: what stands in `k2.toml` besides the components' sections.

Component sections are `[connectors.NAME]`, `[normalizers.NAME]`, `[broker]`, `[dedup]`, `[sinks.NAME]`; each has
`use` (the component; default: the section's name) and that component's own keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from k2core.component import Settings


class IngestSettings(Settings):
    """`[ingest]`: capture."""

    linger_ms: float = Field(10, ge=0, le=1000, description="How long frames are gathered before they are normalized.")
    batch_frames: int = Field(2000, ge=1, description="Frames that are normalized and appended at once, at most.")
    queue_frames: int = Field(50_000, ge=1, description="Frames that may wait; a full queue pushes back to the socket.")
    payload_bytes: int = Field(65_536, ge=0, description="Bytes of a refused frame that its dead letter keeps.")


class WriterSettings(Settings):
    """`[writer]`: log to table."""

    commit_interval_s: float = Field(5, gt=0, description="A commit starts so long after the last one started.")
    commit_rows: int = Field(262_144, ge=1, description="Rows waiting that start a commit at once.")
    min_commit_rows: int = Field(1000, ge=1, description="Rows that start a commit once min_commit_interval_s passed.")
    min_commit_interval_s: float = Field(5, ge=0, description="See min_commit_rows; 0 commits every 1,000 rows.")
    first_commit_s: float = Field(1, ge=0, description="The first commit after a start waits no longer than this.")
    poll_records: int = Field(65_536, ge=1, description="Records read from the log at once, at most (whole blocks).")
    max_future_s: float = Field(
        86_400, ge=0, description="A record whose event time is further ahead is a dead letter."
    )
    max_past_days: float = Field(36_500, gt=0, description="A record whose event time is older is a dead letter.")
    begin: Literal["first-record", "log-start"] = Field(
        "first-record",
        description="first-record: a new table refuses a log whose first records were removed. log-start: it begins with "
        "what the log still has, and records in the table what it lacks.",
    )
    retry_first_s: float = Field(
        0.1, gt=0, description="Pause before what failed is tried again; it doubles each time."
    )
    retry_longest_s: float = Field(5, gt=0, description="It grows no further than this.")
    drain_tries: int = Field(20, ge=1, description="Failures in a row after which a writer that is to end gives up.")
    stalled_s: float = Field(60, gt=0, description="`--once` gives up after so long without any progress.")
    conflicts: int = Field(
        10, ge=1, description="Commits in a row that somebody else's changes may undo before that counts as a failure."
    )
    topics_s: float = Field(5, gt=0, description="How often the log is asked for new topics.")
    holes_minutes: float = Field(
        10, ge=0, description="Missing ids among what was stored so long before a start are named and counted again, of any "
        "dedup store; one that is rebuilt from a longer window tells of that.",
    )  # fmt: skip
    contested_s: float = Field(
        2, gt=0, description="Pause before partitions that another writer took are taken again, where the log gives them to "
        "this one all the same; it doubles each time.",
    )  # fmt: skip


class MaintenanceSettings(Settings):
    """`[maintenance]`: upkeep of tables, beside ingestion and as `k2 maintain`."""

    interval_s: float = Field(60, gt=0, description="Pause between two runs beside ingestion.")
    enabled: bool = Field(True, description="Whether `k2 write` maintains its tables.")


class QuerySettings(Settings):
    """`[query]`: hybrid queries."""

    tail_minutes: float = Field(15, gt=0, description="Length of log that the tail aims to hold in memory.")
    tail_bytes: int = Field(256 << 20, ge=1 << 20, description="Memory for the tail of one data type, at most.")
    concurrent: int = Field(5, ge=1, description="Queries that run at once.")
    waiting: int = Field(64, ge=0, description="Queries that may wait for their turn; more are refused with 503.")
    timeout_s: float = Field(10, gt=0, description="A query is stopped after this.")
    max_rows: int = Field(100_000, ge=1, description="Largest `limit`.")
    default_rows: int = Field(1000, ge=1, description="`limit` where none is given.")
    max_bars: int = Field(100_000, ge=1, description="Bars in one OHLCV answer, at most.")
    wait_s: float = Field(2, ge=0, description="How long a query waits for a time to close or an offset to appear.")
    topics_s: float = Field(5, gt=0, description="How often the log is asked for new topics.")
    stale_s: float = Field(10, gt=0, description="An answer about now warns where it may lack records older than this.")
    slow_s: float = Field(1, gt=0, description="A query that takes longer is logged at WARNING, and counted as slow.")


class ApiSettings(Settings):
    """`[api]`: the HTTP service."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    key: SecretStr | None = Field(None, description="The API key; better given as K2_API_KEY.")
    keys_file: Path = Field(
        Path("data/keys.json"), description="Where hashed keys are kept.", json_schema_extra={"path": True}
    )
    auth: bool = Field(True, description="Whether a key is needed; binding beyond loopback without is refused.")
    max_body_bytes: int = Field(65_536, ge=0, description="Request bodies larger than this are refused.")


class RunSettings(Settings):
    """`[run]`: processes."""

    path: Path = Field(
        Path("data/run"), description="Folder of status files and locks.", json_schema_extra={"path": True}
    )
    drain_s: float = Field(25, gt=0, description="Time that `k2 up` takes to stop, at most.")
    wedged_s: float = Field(15, gt=0, description="A process that says nothing for so long counts as wedged.")
    start_s: float = Field(
        60, ge=0, description="How long a process that starts asks again while the log is busy, before it gives up."
    )
    plugin_timeout_s: float = Field(
        10, gt=0, description="The import of a plugin, and each of its hooks, is cut off after this."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Level of k2's own log lines.")
    log_format: Literal["text", "json"] = Field(
        "text", description="text: words and key=value. json: an object a line."
    )


class MetricsSettings(Settings):
    """`[metrics]`: the small HTTP port of each process: `/metrics`, `/livez`, `/readyz`, `/health`."""

    enabled: bool = Field(True, description="Whether processes have such a port.")
    host: str = Field("127.0.0.1", description="Address to listen on; what is there needs no key.")
    ingest_port: int = Field(0, ge=0, le=65_535, description="Port of `k2 ingest`; 0 takes a free one.")
    write_port: int = Field(0, ge=0, le=65_535, description="Port of `k2 write`; 0 takes a free one.")
    serve_port: int = Field(0, ge=0, le=65_535, description="Port of `k2 serve`, besides the API's; 0: a free one.")
    up_port: int = Field(0, ge=0, le=65_535, description="Port of `k2 up` itself; 0 takes a free one.")

"""`CursorPool`: one DuckDB instance, locked down, and the cursors that queries take turns on.

Nothing that a query says can reach beyond the warehouse: no other folders, no extensions, no Python variables, no
change of settings; all text comes from templates with bound values. Survived: a query that takes too long (interrupted
from a thread of its own; the cursor is as good as new), one that wants too much memory, more queries than cursors.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from k2core.plugin import Clock, QueryError, SystemClock

if TYPE_CHECKING:
    import pyarrow as pa

    from k2_plugin_iceberg.settings import IcebergSettings


AGAIN_S = 0.05
CLOSE_S = 10


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


class CursorPool:
    """Cursors of one DuckDB instance.

    Args:
        settings: Threads, memory, number of cursors, and the only folder that may be read.
    """

    def __init__(self, settings: IcebergSettings) -> None:
        import duckdb

        self._settings = settings
        self._root = duckdb.connect(":memory:", config=_config(settings))
        for statement in _lock_down(settings):
            self._root.execute(statement)
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(settings.cursors):
            self._free.put(self._root.cursor())
        self._watch = Watch()
        self._closed = False

    def query(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float, tables: Mapping[str, pa.Table] | None = None
    ) -> pa.Table:
        """Run one query.

        Args:
            sql: With `$1`, `$2` … for the values.
            values: Bound, never part of the text.
            timeout: Seconds to wait for a cursor, and seconds to run.
            tables: Arrow tables that the query may name.

        Raises:
            QueryError: `timeout`, `overloaded` or `too-large`.
            duckdb.Error: Anything else.
        """
        import duckdb

        with self._cursor(timeout) as cursor, self._watch.limit(timeout, cursor.interrupt):
            for name, table in (tables or {}).items():
                cursor.register(name, table)
            try:
                found: pa.Table = cursor.sql(sql, params=list(values)).to_arrow_table()
                return found
            except duckdb.InterruptException as error:
                raise timed_out(timeout) from error
            except duckdb.OutOfMemoryException as error:
                raise QueryError(
                    f"the query needs more than {self._settings.duckdb_memory} of memory: narrow its time range or its "
                    "symbols, or raise duckdb_memory of the sink",
                    kind="too-large",
                    status=422,
                ) from error
            finally:
                for name in tables or {}:
                    cursor.unregister(name)

    def close(self) -> None:
        """Close the instance; what still runs is interrupted, and waited for a bounded time."""
        if self._closed:
            return
        self._closed = True
        for _ in range(self._settings.cursors):
            self._returned().close()
        self._watch.close()
        self._root.close()

    def _returned(self) -> Any:
        """A cursor that nobody uses any more."""
        for _ in range(int(CLOSE_S / AGAIN_S)):
            try:
                return self._free.get(timeout=AGAIN_S)
            except queue.Empty:
                self._watch.stop_all()
        raise QueryError(
            f"DuckDB does not stop a query within {CLOSE_S} s: end this process", kind="timeout", status=503
        )

    @contextmanager
    def _cursor(self, timeout: float) -> Iterator[Any]:
        if self._closed:
            raise QueryError(
                "this process is stopping: ask again once it runs", kind="stopping", status=503, retry_after=1
            )
        try:
            cursor = self._free.get(timeout=timeout)
        except queue.Empty as error:
            raise QueryError(
                f"all {self._settings.cursors} DuckDB cursors were busy for {timeout:g} s; try again, or raise cursors "
                "of the sink",
                kind="overloaded",
                status=503,
                retry_after=1,
            ) from error
        try:
            yield cursor
        finally:
            self._free.put(cursor)


def timed_out(timeout: float) -> QueryError:
    """The error of a query that took longer than it may."""
    return QueryError(
        f"the query took longer than {timeout:g} s and was stopped: narrow its time range or its symbols, or raise "
        "[query] timeout_s",
        kind="timeout",
        status=503,
        retry_after=1,
    )


def _config(settings: IcebergSettings) -> dict[str, str | bool | int | float | list[str]]:
    return {"threads": settings.duckdb_threads, "memory_limit": settings.duckdb_memory}


def _lock_down(settings: IcebergSettings) -> list[str]:
    """In this order; the last one forbids any further change."""
    folder = str(settings.root)
    return [
        "SET TimeZone = 'UTC'",
        "SET temp_directory = ''",
        "SET parquet_metadata_cache = true",
        "SET enable_progress_bar = false",
        f"SET allowed_directories = [{quoted(folder)}]",
        "SET enable_external_access = false",
        "SET autoload_known_extensions = false",
        "SET autoinstall_known_extensions = false",
        "SET allow_community_extensions = false",
        "SET python_enable_replacements = false",
        "SET lock_configuration = true",
    ]


class Deadline:
    """A moment of real time by which work has to be done."""

    def __init__(self, seconds: float) -> None:
        self._clock, self.seconds = SystemClock(), seconds
        self._at = self._clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds left.

        Raises:
            QueryError: `timeout`: none are.
        """
        left = self._at - self._clock.monotonic()
        if left <= 0:
            raise timed_out(self.seconds)
        return left


class Watch:
    """Calls functions that are not cancelled in time. Starts a thread with the first.

    It stops real work, so it goes by real time whatever clock the rest was given.
    """

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()
        self._due: list[tuple[float, int, dict[str, Any]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def limit(self, seconds: float, stop: Any) -> Iterator[None]:
        """Call `stop` if the block is still running after so many seconds."""
        entry = {"stop": stop}
        with self._changed:
            self._start()
            due = self._clock.monotonic() + seconds
            first = not self._due or due < self._due[0][0]
            heapq.heappush(self._due, (due, next(self._number), entry))
            if first:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:  # from here on nobody stops what runs next on the same cursor
                entry["stop"] = None

    def stop_all(self) -> None:
        """Stop everything that runs."""
        with self._changed:
            for _, _, entry in self._due:
                if entry["stop"] is not None:
                    entry["stop"]()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="k2-duckdb-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._clock.monotonic()
                while self._due and (self._due[0][0] <= now or self._due[0][2]["stop"] is None):
                    entry = heapq.heappop(self._due)[2]
                    if entry["stop"] is not None:
                        entry["stop"]()  # and again: one that came before the query began was in vain
                        heapq.heappush(self._due, (now + AGAIN_S, next(self._number), entry))
                self._changed.wait(self._due[0][0] - now if self._due else None)

"""What the writer measures: reads, claims, commits, lag; called once a batch or once a commit."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from k2core.interfaces.broker import LogBlock
from k2core.interfaces.sink import Staged
from k2core.writer.parts import Parts
from k2core.writer.waiting import Waiting

if TYPE_CHECKING:
    from k2core.admission.admit import DeadRecord


def tell_read(parts: Parts, blocks: Sequence[LogBlock], waiting: Waiting) -> None:
    """Blocks were read and taken."""
    metrics, name = parts.metrics, parts.data_type.name
    records = sum(map(len, blocks))
    metrics.add("k2_writer_read_records_total", records, data_type=name)
    metrics.add("k2_writer_read_bytes_total", sum(len(b.data) for b in blocks), data_type=name)
    metrics.observe("k2_writer_poll_records", records, data_type=name)
    for block in blocks:
        waiting.times.setdefault((block.topic, block.partition), []).append((block.timestamp_us, len(block)))


def tell_claimed(parts: Parts, new: npt.NDArray[np.bool_] | bool, seconds: float) -> None:
    """The dedup store answered; where it was not asked, there is nothing to tell."""
    metrics, name = parts.metrics, parts.data_type.name
    if isinstance(new, bool):
        return
    fresh = int(np.count_nonzero(new))
    metrics.observe("k2_dedup_claim_seconds", seconds, data_type=name)
    metrics.add("k2_dedup_claims_total", fresh, data_type=name, outcome="new")
    metrics.add("k2_dedup_claims_total", len(new) - fresh, data_type=name, outcome="copy")


def tell_dead(parts: Parts, dead: Sequence[DeadRecord]) -> None:
    """Records that could not become rows are in the dead letters' topic."""
    for reason, count in Counter(record.reason for record in dead).items():
        parts.metrics.add("k2_writer_dead_letters_total", count, data_type=parts.data_type.name, reason=reason)


def tell_staged(parts: Parts, staged: Staged, seconds: float) -> None:
    """A commit's files are written."""
    metrics, name = parts.metrics, parts.data_type.name
    metrics.observe("k2_writer_stage_seconds", seconds, data_type=name)
    metrics.add("k2_writer_files_total", len(staged.files), data_type=name)
    metrics.add("k2_writer_file_bytes_total", staged.bytes, data_type=name)


def tell_committed(parts: Parts, waiting: Waiting, snapshot: int | None, seconds: float) -> None:
    """A commit landed: what it carried, how long it took, and how long its records waited for it."""
    metrics, name, now_us = parts.metrics, parts.data_type.name, parts.clock.now_us()
    parts.logger.info(
        "committed data_type=%s rows=%d snapshot=%s seconds=%.3f oldest_s=%.3f",
        name, waiting.rows, snapshot, seconds, max(0.0, (now_us - (_oldest_us(waiting) or now_us)) / 1e6),
    )  # fmt: skip
    metrics.observe("k2_writer_commit_rows", waiting.rows, data_type=name)
    for timestamp_us, count in itertools.chain.from_iterable(waiting.times.values()):
        delay = max(0.0, (now_us - timestamp_us) / 1e6)
        metrics.observe("k2_writer_commit_delay_seconds", delay, count, data_type=name)
    metrics.set("k2_writer_last_commit_timestamp_seconds", now_us / 1e6, data_type=name)
    if waiting.newest_us:
        metrics.set("k2_writer_last_record_timestamp_seconds", waiting.newest_us / 1e6, data_type=name)


def tell_lag(parts: Parts, records: int, waiting: Waiting) -> None:
    """How far the table is behind the log; what was not read yet is as old as the newest that was committed, at most."""
    metrics, name, now_s = parts.metrics, parts.data_type.name, parts.clock.now_us() / 1e6
    metrics.set("k2_writer_lag_records", records, data_type=name)
    metrics.set("k2_writer_waiting_records", waiting.records, data_type=name)
    known_s = _oldest_us(waiting) / 1e6 or metrics.value("k2_writer_last_record_timestamp_seconds", data_type=name)
    if not records or known_s:
        age = max(0.0, now_s - known_s) if records else 0.0
        metrics.set("k2_writer_lag_seconds", age, data_type=name)


def _oldest_us(waiting: Waiting) -> int:
    """Append time of the oldest record that waits; 0 where none does."""
    return min((at for at, _ in itertools.chain.from_iterable(waiting.times.values())), default=0)

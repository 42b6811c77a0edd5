"""What follows a commit and may fail without harm: it is done again after the next one, or by maintenance."""

from __future__ import annotations

from k2core.errors import BrokerError, DedupError, SinkError
from k2core.interfaces.broker import Offsets
from k2core.interfaces.sink import Staged
from k2core.writer.parts import Parts


def tidy(parts: Parts, newest_us: int, committed: Offsets) -> None:
    """Forget identities that left the window, and let the log's retention pass what is stored.

    Args:
        parts: The pipeline's.
        newest_us: Latest append time committed. The log's time, for a writer that catches up on hours must keep the
            hour that it is in.
        committed: The table's next offsets.
    """
    try:
        parts.dedup.evict(newest_us)
        parts.broker.release(parts.name, committed)
    except (DedupError, BrokerError) as error:
        parts.logger.warning("after the commit data_type=%s error=%s", parts.data_type.name, error)


def discard(parts: Parts, staged: Staged) -> None:
    """Delete the files of a commit that was refused."""
    try:
        parts.table.discard(staged)
    except (SinkError, OSError) as error:
        parts.logger.warning("staged files stay for maintenance data_type=%s error=%s", parts.data_type.name, error)

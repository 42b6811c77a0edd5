"""Noting that shed records are back in a table: a snapshot of the same files whose summary says so.

Conditioned on the base as every swap is, and on nothing else: a writer's commit that comes in between makes it try
again, and it makes the writer's try again. Ranges that a writer added meanwhile stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation

from k2_plugin_iceberg.commit import head_of
from k2_plugin_iceberg.offsets import committed, head_offsets, pack
from k2_plugin_iceberg.snapshots import Change
from k2core.plugin import Head, Shed, restored_shed

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

    from k2_plugin_iceberg.commit import Committer
    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.snapshots import Snapshots
    from k2_plugin_iceberg.state import Base


def restore(committer: Committer, snapshots: Snapshots, manifests: Manifests, done: Sequence[Shed]) -> Head:
    """See `SinkTable.restore`.

    Raises:
        SinkError: The table cannot be reached, or others changed it all the time.
    """
    change = Change("restore", Operation.REPLACE)

    def attempt(base: Base) -> Base | None:
        progress = head_offsets(base.metadata)
        shed = restored_shed(progress.shed, done)
        if shed == progress.shed:
            return base
        kept = manifests.merged(manifests.of(base.metadata.current_snapshot()), change.snapshot_id)
        return snapshots.swap(base, change, kept, pack(*progress._replace(shed=shed)))

    def landed(metadata: TableMetadata) -> bool:
        return committed(metadata, change.commit_id) is not None

    return head_of(committer.repeat(attempt, landed))

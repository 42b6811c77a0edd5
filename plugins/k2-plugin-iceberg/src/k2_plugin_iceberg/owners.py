"""Who owns which partition: tokens in table properties, so that a rollback of `main` leaves them standing.

One property a topic, `k2.owner.<topic>`, maps tokens to what they own:

    {"<token>": {"by": "host:4711", "id": "<topic id>", "partitions": [0, 1, …]}}

A token counts because every commit reads it from the very metadata that its swap is conditioned on. A writer that was
frozen, killed or cut off finds another token there and can change nothing; nobody has to wait for it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from k2core.plugin import FencedError, Ownership, Partition

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

PREFIX = "k2.owner."


def taken_over(
    metadata: TableMetadata, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str, token: str
) -> dict[str, str]:
    """The properties that make `token` the owner of partitions; other partitions keep theirs."""
    by_topic: dict[str, set[int]] = defaultdict(set)
    for topic, partition in partitions:
        by_topic[topic].add(partition)
    changed = {}
    for topic, wanted in by_topic.items():
        claims = _claims(metadata, topic)
        for claim in claims.values():
            claim["partitions"] = [p for p in claim["partitions"] if p not in wanted]
        left = {t: c for t, c in claims.items() if c["partitions"]}
        left[token] = {"by": owner, "id": topic_ids.get(topic, ""), "partitions": sorted(wanted)}
        changed[PREFIX + topic] = json.dumps(left, separators=(",", ":"))
    return changed


def require_owned(metadata: TableMetadata, owned: Ownership) -> dict[str, str]:
    """Check that a token still stands on all of its partitions.

    Returns:
        The ids of the owned topics, as given when they were taken over.

    Raises:
        FencedError: Someone else's token stands on some of them.
    """
    lost: dict[Partition, str] = {}
    topic_ids = {}
    for topic in {t for t, _ in owned.partitions}:
        holders = {p: (token, c) for token, c in _claims(metadata, topic).items() for p in c["partitions"]}
        for partition in (p for p in owned.partitions if p[0] == topic):
            token, claim = holders.get(partition[1], ("", {"by": "nobody", "id": ""}))
            if token != owned.token:
                lost[partition] = claim["by"]
            elif claim["id"]:
                topic_ids[topic] = claim["id"]
    if lost:
        raise FencedError(_fenced(metadata, lost), frozenset(lost))
    return topic_ids


def _fenced(metadata: TableMetadata, lost: Mapping[Partition, str]) -> str:
    by = ", ".join(sorted(set(lost.values())))
    names = ", ".join(f"{t}/{p}" for t, p in sorted(lost)[:8]) + (" …" if len(lost) > 8 else "")
    return (
        f"{by} took over {len(lost)} partitions of table {metadata.location} ({names}): nothing of this commit was "
        "stored. Leave them to that writer, or stop it before you start this one again"
    )


def _claims(metadata: TableMetadata, topic: str) -> dict[str, dict[str, Any]]:
    claims: dict[str, dict[str, Any]] = json.loads(metadata.properties.get(PREFIX + topic, "{}"))
    return claims

"""Why a connection ended, as one of a few words that a metric can carry."""

from __future__ import annotations

_BEGINNINGS = (
    ("no frame of any kind", "silent"),
    ("no data", "no-data"),
    ("no subscription was acknowledged", "unacknowledged"),
    ("lost", "lost"),
    ("the exchange ended", "lost"),
    ("closed", "closed"),
    ("the exchange closed", "closed"),
)


def reason_of(why: str) -> str:
    """The word for what a connection said as it ended: `closed`, `lost`, `silent`, `no-data`, `unacknowledged`,
    `overload`, `protocol`.
    """
    if "(cause: overload" in why:
        return "overload"
    return next((word for beginning, word in _BEGINNINGS if why.startswith(beginning)), "protocol")

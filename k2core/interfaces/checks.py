"""`Finding`: one thing that was looked at, for `k2 doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Args:
        name: What it is, as `broker` or `topic market.crypto.trades.binance`.
        ok: Whether it is well.
        detail: What was seen.
        repair: The command, or the line of the settings, that repairs it; empty where it is well.
        checked: False where it was not looked at, for something else is wrong; `ok` is true then, and `detail` says why.
    """

    name: str
    ok: bool
    detail: str
    repair: str = ""
    checked: bool = True

"""What plugin authors test with: a scripted local exchange, an oracle, a clock that a test moves by hand.

Importing this package imports nothing heavy; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.testing.clock import ManualClock as ManualClock
    from k2core.testing.dialect import Dialect as Dialect
    from k2core.testing.exchange import FakeExchange as FakeExchange
    from k2core.testing.exchange import ServerLimits as ServerLimits
    from k2core.testing.local import LocalExchange as LocalExchange
    from k2core.testing.oracle import OracleReport as OracleReport
    from k2core.testing.oracle import compare as compare

_HOMES = {
    "Dialect": "dialect",
    "FakeExchange": "exchange",
    "LocalExchange": "local",
    "ManualClock": "clock",
    "OracleReport": "oracle",
    "ServerLimits": "exchange",
    "compare": "oracle",
}

__all__ = ["Dialect", "FakeExchange", "LocalExchange", "ManualClock", "OracleReport", "ServerLimits", "compare"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""`k2` with a catalog that loses replies: some swaps land and nobody hears of it, some never arrive.

Run as a program, with the arguments of `k2`. The catalog is the real one; only its answers are dropped.
"""

from __future__ import annotations

from typing import Any

from k2_plugin_iceberg.catalog import LakeCatalog
from sqlalchemy.exc import OperationalError

from k2core.cli.main import main

EVERY = 3
swap, swapped = LakeCatalog.swap, [0]


def lossy(self: LakeCatalog, *given: Any, **more: Any) -> bool:
    """Of three swaps one is answered, one lands without an answer, one does neither."""
    swapped[0] += 1
    turn = swapped[0] % EVERY
    done = turn != 2 and swap(self, *given, **more)
    if turn:
        print("a reply is lost", flush=True)
        raise OperationalError("update", {}, Exception("the connection was lost"))
    return bool(done)


if __name__ == "__main__":
    LakeCatalog.swap = lossy  # type: ignore[method-assign]
    main()

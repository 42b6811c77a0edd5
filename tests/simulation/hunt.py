"""Lives worlds until one shows that something is wrong; a process of its own, for shipped files with a bug in them.

`python -m tests.simulation.hunt FLOW_OR_FILES FIRST COUNT` prints one line of JSON: the seed and what was seen, or null.
"""

from __future__ import annotations

import json
import sys
from collections import Counter


def hunt(worlds: str, first: int, count: int) -> dict[str, object] | None:
    """The first world that breaks."""
    if worlds == "flow":
        from tests.simulation.world import live
    else:
        from tests.simulation.lakes import live
    for seed in range(first, first + count):
        try:
            live(seed, Counter())
        except Exception as error:  # noqa: BLE001 - however a bug shows, it shows
            return {"seed": seed, "seen": f"{type(error).__name__}: {error}"[:300]}
    return None


if __name__ == "__main__":
    print(json.dumps(hunt(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))

"""The other process of the sink suite: takes the table over and commits without end. It is meant to be killed."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from k2core.clock import SystemClock


def main() -> None:
    """Run as the order in the first argument says; a line for every commit that was told to have landed."""
    order = json.loads(sys.argv[1])
    sys.path[:] = order["path"]
    from k2core.testing.conformance.broker_child import load

    suite = load(Path(order["file"]), order["suite"])()
    parts = frozenset((topic, number) for topic, number in order["parts"])
    with suite.hand(Path(order["place"]), owner="killed", parts=parts, clock=SystemClock()) as hand:
        for turn in itertools.count(1):
            hand.write(turn % 7 + 1)
            sys.stdout.write(f"{turn}\n")
            sys.stdout.flush()

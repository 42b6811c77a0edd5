"""The other process of the broker suite: opens the suite's log, appends, and says what was acknowledged.

It loads the suite's class from its own file by path, whatever that file's name is in pytest; an instance without
arguments opens the log. It is meant to be killed at any moment.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from k2core.clock import SystemClock


def main() -> None:
    """Run as the order in the first argument says; each line printed is the number below which all is durable."""
    order = json.loads(sys.argv[1])
    sys.path[:] = order["path"]
    from k2core.testing.conformance.broker_world import numbered, topic_spec

    suite = load(Path(order["file"]), order["suite"])()
    with suite.open(Path(order["place"]), SystemClock()) as log:
        log.ensure_topics([topic_spec(order["topic"])])
        producer, number = log.producer(), order["start"]
        for turn in itertools.count(1):
            producer.produce([numbered(order["topic"], range(number, number + 20))])
            number += 20
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            if turn == order["appends"]:
                break
        producer.close()


def load(file: Path, qualname: str) -> Any:
    """A class by the file that defines it.

    Raises:
        TypeError: It is made inside a function, where no other process can find it.
    """
    if "<locals>" in qualname:
        raise TypeError(f"{file}: {qualname} must stand at the top of its file, for other processes load it from there")
    spec = importlib.util.spec_from_file_location(f"k2_suite_{file.stem}", file)
    assert spec is not None and spec.loader is not None, file  # noqa: PT018 - one fact
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name)
    return found

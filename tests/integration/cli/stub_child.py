"""Stub children for the supervision tests: tiny processes that behave as one is told.

`python stub_child.py BEHAVIOUR NAME FOLDER`: publishes its status as a real child does, and then …
"""

from __future__ import annotations

import pathlib
import signal
import sys
import time

from k2core.cli.orphan import die_with_parent
from k2core.clock import SystemClock
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import StatusFile


def main() -> int:
    behaviour, name, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    die_with_parent()
    stopped: list[int] = []
    if behaviour != "deaf":
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    status = StatusFile(folder, name, SystemClock(), Metrics())
    lives = folder / f"{name}.lives"
    lives.write_text((lives.read_text() if lives.exists() else "") + "x")
    life = len(lives.read_text())
    if behaviour == "fenced":
        sys.stderr.write("error: writer 7f3a on host b (pid 4711) took over\n")
        return 4
    if behaviour == "settings":
        sys.stderr.write("error: k2.toml: api.prot: unknown key\n")
        return 2
    if behaviour == "dies-twice" and life <= 2:
        return 1
    status.publish("running")
    while not stopped:
        if not (behaviour == "wedges-once" and life == 1):
            status.publish("running")
        time.sleep(0.02)
    with (folder / "order").open("a") as order:
        order.write(name + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

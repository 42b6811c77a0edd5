"""A `k2 up` of stub children: `python stub_up.py FOLDER DRAIN_S BEHAVIOUR …`, one behaviour a child."""

from __future__ import annotations

import pathlib
import sys

from k2core.cli.child import ChildSpec
from k2core.cli.supervise import Limits, Supervisor
from k2core.clock import SystemClock
from k2core.telemetry.metrics import Metrics

STUB = str(pathlib.Path(__file__).with_name("stub_child.py"))
NAMES = ("ingest", "write", "serve")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    folder, drain, behaviours = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    specs = [
        ChildSpec(name=n, command=[sys.executable, STUB, b, n, folder]) for n, b in zip(NAMES, behaviours, strict=False)
    ]
    limits = Limits(wedged=0.5, starting=20, drain=drain, first_pause=0.05, longest_pause=0.1, tick=0.02)
    metrics = Metrics()
    ending = Supervisor(
        specs, folder=pathlib.Path(folder), clock=SystemClock(), limits=limits, say=say, relay=lambda line: None,
        metrics=metrics,
    ).run()  # fmt: skip
    for name, labels, value in metrics.snapshot():
        say(f"counted {name} {' '.join(word for _, word in labels)} {value:g}")
    say(f"ended {ending.code} {','.join(ending.cut_short)}")
    return ending.code


if __name__ == "__main__":
    sys.exit(main())

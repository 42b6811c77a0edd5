"""Lives worlds until one shows that something is wrong; as a process of its own, for shipped files with a bug in them.

`python -m tests.simulation.hunt flow|files|shared FIRST COUNT` prints one line of JSON. Only what the oracle says, or an error
that k2 or the disk raises, counts as shown: a bug that was planted so badly that Python stumbles ends the process.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def hunt(worlds: str, first: int, count: int) -> dict[str, Any]:
    """Live worlds up to the first that breaks; what happened in them."""
    import k2core
    from k2core.errors import K2Error
    from tests.simulation.oracle import WrongError

    if worlds == "flow":
        from tests.simulation.ending import live
    elif worlds == "shared":
        from tests.simulation.sharing import live
    else:
        from tests.simulation.lakes import live
    told: Counter[str] = Counter()
    found: dict[str, Any] = {"told": told, "loaded": str(k2core.__file__), "seed": None, "seen": "", "trace": ""}
    for seed in range(first, first + count):
        try:
            found["trace"] = live(seed, told)
        except (WrongError, K2Error, OSError) as error:
            return found | {"seed": seed, "seen": f"{type(error).__name__}: {error}"[:500]}
    return found


def start(
    worlds: str, first: int, count: int, path: Sequence[pathlib.Path] = (ROOT,), **env: str
) -> subprocess.Popen[str]:
    """Start a hunt beside."""
    command = [sys.executable, "-m", "tests.simulation.hunt", worlds, str(first), str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **env}
    return subprocess.Popen(
        command, cwd=path[0], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def results(processes: Sequence[subprocess.Popen[str]], within_s: float) -> list[dict[str, Any]]:
    """What hunts found.

    Raises:
        AssertionError: One broke down, or took too long.
    """
    found = []
    try:
        for process in processes:
            out, said = process.communicate(timeout=within_s)
            assert process.returncode == 0, f"the hunt broke down: {said[-3000:]}"
            found.append(json.loads(out.splitlines()[-1]))
    finally:
        for process in processes:
            with process:  # closes its pipes
                process.kill()
    return found


if __name__ == "__main__":
    print(json.dumps(hunt(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))

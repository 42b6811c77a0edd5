"""Proves that our distributions work with the lowest (or the newest) versions of all that they say they need.

Run by `nox -s lowest` and `nox -s newest`: an environment with just these versions, in it some of the tests and the demo,
which goes the whole way from the socket to the answer. `lowest` is part of every run, so it has the fewer tests: what is
most likely to find a version that is too old.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from places import CLEAN, PLUGINS, ROOT, UV, Clean, build, expect, needed, run

RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
TESTERS = ("hypothesis", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "psutil", "polars")
LOWEST = ("tests/unit/config", "tests/integration/api", "plugins/k2-plugin-files/tests")
NEWEST = (*LOWEST, "tests/unit/avro", "tests/unit/discovery", "tests/unit/admission", "tests/unit/feed",
          *(f"plugins/{name}/tests" for name in ("k2-plugin-binance", "k2-plugin-memory", "k2-plugin-iceberg")))  # fmt: skip
TESTS = {"lowest": LOWEST, "newest": NEWEST}


def main() -> None:
    which, out, options = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    wheels = build(out / "dist")
    place = Clean(out / which)
    place.install(*TESTERS)
    source = out / "needed.in"
    source.write_text("\n".join(needed()) + "\n")
    place.install("-r", source, options=("--resolution", RESOLUTIONS[which], "--upgrade"))
    place.install(*wheels.values(), options=("--no-deps",))
    run(UV, "pip", "check", "--quiet", "--python", place.python)
    held = json.loads(run(UV, "pip", "list", "--format", "json", "--python", place.python))
    names = {line.split(">")[0].split("=")[0].split("[")[0].strip() for line in needed()}
    print(", ".join(f"{one['name']} {one['version']}" for one in held if one["name"] in names), flush=True)
    expect(f"{len(wheels)} distributions install with the {which} versions", len(wheels) == 1 + len(PLUGINS))
    states = {text.split()[-1] for text in place.plugins().values()}
    expect("every plugin is found there and works", states == {"ok"})
    # Old and new versions warn of other things than the locked ones.
    asked = [
        place.python,
        "-m",
        "pytest",
        "-q",
        "-W",
        "default",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        *(options or TESTS[which]),
    ]
    expect("the tests pass there", subprocess.run(asked, cwd=ROOT, env=CLEAN, check=False).returncode == 0)
    proof = json.loads(run(place.k2, "demo", "--once", cwd=out).splitlines()[-1])
    expect(f"the demo proves itself there: {proof['trades_stored']} trades", proof["ok"])


if __name__ == "__main__":
    main()

"""The main job as its users start it: `k2 demo --once` ends by itself, and its last line proves what it did."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.timeout(180)
def test_the_demo_stores_everything_once(tmp_path: pathlib.Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}
    done = subprocess.run(
        [sys.executable, "-m", "k2core.cli.main", "demo", "--once", "--seed", "11", "--keep", str(tmp_path / "kept")],
        cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["ok"] is True
    assert found["trades_issued"] == found["trades_stored"] >= 10_000
    assert found["quotes_issued"] == found["quotes_stored"] > 10_000
    assert [found[k] for k in ("duplicates_stored", "missing", "foreign", "different")] == [0, 0, 0, 0]
    assert found["dead_letters"] == 1
    assert found["commits"] >= 2
    assert 0 < found["api_p50_ms"] < 1000
    assert found["freshness_p99_ms"] > 0
    assert (tmp_path / "kept" / "data" / "warehouse" / "market.trades" / "metadata").is_dir()
    assert "curl -H 'X-API-Key:" in done.stderr
    assert "query route=" not in done.stderr, "the demo's own questions bury what it shows"

"""`k2 demo degradation --quick --json`: five levels with real load on real parts, everything brought back and proved."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(900)
def test_the_demo_enters_all_levels_and_proves_the_table_whole() -> None:
    command = [sys.executable, "-m", "k2core.cli.main", "demo", "degradation", "--quick", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert [step["level"] for step in found["levels"]] == ["NORMAL", "SOFT", "GRACEFUL", "AGGRESSIVE", "CIRCUIT_BREAK"]
    shed = {step["level"]: step["shed"] for step in found["levels"]}
    assert shed["NORMAL"] == shed["SOFT"] == 0 < min(shed["GRACEFUL"], shed["AGGRESSIVE"], shed["CIRCUIT_BREAK"])
    assert all(step["left_s"] is not None for step in found["levels"])
    assert found["restored"] == found["shed"] == sum(shed.values()) > 0
    assert found["ok"], found["why"]

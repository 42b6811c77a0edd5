"""Schemathesis against the running API, from its own OpenAPI document (long variant)."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="schemathesis is not installed beside this Python")
def test_the_api_keeps_to_its_schema(server, http):
    # The schema cannot say which parameters exclude each other, or how a time is written.
    asked = [
        PROGRAM, "run", f"{server.url}/schema/openapi.json", "-H", f"X-API-Key: {http.headers['x-api-key']}",
        "--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--exclude-checks",
        "positive_data_acceptance", "--no-color", "--report-dir", server.folder,
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=240, cwd=server.folder, check=False)
    assert done.returncode == 0, done.stdout[-5000:]

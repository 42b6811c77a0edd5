"""For all tests: the long variant, and no skip where the real parts must be there."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

# Tests write a module, run it and write it anew: Python tells its compiled forms apart by second and length alone.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

pytest_plugins = ["tests.services.fixtures", "tests.spread.plugin", "tests.spread.early"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `slow` to the long variant (`nox -s long`), unless they were asked for by a marker."""
    if os.environ.get("K2_LONG") or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With `K2_REQUIRE_SERVICES=1`, as in CI, what is missing must be installed: a skip hides a test, so it fails."""
    report = yield
    if report.skipped and os.environ.get("K2_REQUIRE_SERVICES") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but K2_REQUIRE_SERVICES=1 wants every part there: {report.longrepr}"
    return report

"""Says at once which test failed, and why: the run takes a quarter of an hour, and the report stands at its end."""

from __future__ import annotations

import pytest

LINES = 12


class Early:
    """Reports failures as they come.

    Args:
        terminal: Where to.
    """

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the end of a failure."""
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"failed just now: {report.nodeid} ({report.when})")
            for line in report.longreprtext.splitlines()[-LINES:]:
                self._terminal.write_line(f"    {line[:300]}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where the terminal is: not in workers."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Early(terminal), "early-failures")

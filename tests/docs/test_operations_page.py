"""`docs/operations.md` against the code: metrics and their labels, exit codes, files, and every message it quotes."""

from __future__ import annotations

import re

from k2core.broker.settings import EmbeddedSettings
from k2core.cli.main import COMMANDS, EXIT_CODES
from k2core.config.settings import MaintenanceSettings, RunSettings
from k2core.telemetry.catalogue import CATALOGUE
from tests.docs.messages import quotes
from tests.docs.pages import DOCS

PAGE = (DOCS / "operations.md").read_text()


def test_every_metric_on_the_page_exists() -> None:
    named = set(re.findall(r"k2_[a-z]+_[a-z_]+", PAGE))
    assert len(named) >= 10
    assert named <= set(CATALOGUE)


def test_every_exit_code_is_on_the_page() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert named == {0, 1, 130, *(code for _, code in EXIT_CODES)}


def test_every_command_on_the_page_exists() -> None:
    assert set(re.findall(r"`k2 ([a-z]+)", PAGE)) <= set(COMMANDS)


def test_defaults_on_the_page_hold() -> None:
    run, log = RunSettings(), EmbeddedSettings()
    assert (run.wedged_s, run.drain_s, MaintenanceSettings().interval_s) == (15, 25, 60)
    assert (log.retention_hours, log.retention_bytes, log.slack_hours) == (24, 10 << 30, 1)


def test_every_message_that_is_quoted_is_in_the_code() -> None:
    quoted = [q for q in re.findall(r"`([^`]+)`", PAGE) if "…" in q or len(q.split()) > 4]
    quoted = [q for q in quoted if not q.startswith(("k2 ", "curl ", "sqlite3 ", "ExecStart", "[", "GET "))]
    assert len(quoted) >= 15
    assert [quote for quote in quoted if not quotes(quote)] == []

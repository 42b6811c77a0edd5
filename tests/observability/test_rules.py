"""Rules: promtool accepts them, each alert fires in one story and is silent in another, each runbook section is there."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
import yaml

from observability.alert import Alert
from observability.more_alerts import ALERTS
from tests.services.process import UnavailableError
from tests.services.prometheus import tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "k2core" / "telemetry" / "assets" / "k2.rules.yml"
STORIES = pathlib.Path(__file__).with_name("k2.rules.test.yml")
EVERY = [alert for alerts in ALERTS.values() for alert in alerts]


@pytest.fixture(scope="module")
def promtool() -> str:
    try:
        return tool("promtool")
    except UnavailableError as error:
        pytest.skip(str(error))


def test_promtool_accepts_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent(promtool: str) -> None:
    done = subprocess.run([promtool, "test", "rules", str(STORIES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stories = [story["name"] for story in yaml.safe_load(STORIES.read_text())["tests"]]
    assert stories == [f"{alert.name} {how}" for alert in EVERY for how in ("fires", "is silent")]


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert: Alert) -> None:
    assert re.fullmatch(r"K2([A-Z][a-z]+)+", alert.name)
    assert alert.severity in ("critical", "warning")
    assert alert.summary.endswith(".")
    page = (ROOT / "docs" / "operations.md").read_text()
    assert re.search(rf"^### {re.escape(alert.section)}$", page, re.MULTILINE), f"no section {alert.section!r}"
    assert alert.name in (ROOT / "docs" / "observability.md").read_text()


def test_names_are_unique() -> None:
    assert len({alert.name for alert in EVERY}) == len(EVERY)

"""When a commit is due."""

from __future__ import annotations

import pytest

from k2core.config.settings import WriterSettings
from k2core.writer.schedule import Schedule


@pytest.mark.parametrize(
    ("settings", "records", "passed", "due"),
    [
        ({}, 1, 4.9, False),
        ({}, 1, 5.0, True),
        ({}, 0, 99.0, False),
        ({"commit_rows": 10}, 10, 0.0, True),
        ({"commit_interval_s": 60}, 1000, 5.0, True),
        ({"commit_interval_s": 60}, 1000, 4.0, False),
        ({"commit_interval_s": 60}, 999, 59.0, False),
        ({"min_commit_interval_s": 0}, 1000, 0.0, True),
    ],
)
def test_when_a_commit_is_due(settings: dict[str, float], records: int, passed: float, due: bool) -> None:
    schedule = Schedule(WriterSettings(**settings))
    schedule.started(0)
    schedule.commits(100.0)
    assert schedule.due(100.0 + passed, records) == due


def test_the_first_commit_comes_early() -> None:
    schedule = Schedule(WriterSettings())
    schedule.started(50.0)
    assert [schedule.due(50.0 + s, 1) for s in (0.9, 1.0)] == [False, True]

"""Log lines: words or JSON by setting, counted by level, the API's request id in the answer, the problem and the line."""

from __future__ import annotations

import json
import logging
import pathlib
import subprocess
import sys

import pytest

from k2core.telemetry.logs import _Json, _output, count_lines, set_up
from k2core.telemetry.metrics import Metrics


def line(message: str, *args: object, level: int = logging.WARNING) -> dict[str, object]:
    record = logging.LogRecord("k2.write", level, "", 0, message, args, None)
    found: dict[str, object] = json.loads(_Json().format(record))
    return found


def test_a_line_of_keys_becomes_their_values() -> None:
    found = line("trying again data_type=%s in_s=%.1f error=%s", "trades", 0.25, OSError("disk away"))
    assert (found["event"], found["logger"], found["level"]) == ("trying again", "k2.write", "warning")
    assert (found["data_type"], found["in_s"], found["error"]) == ("trades", 0.25, "disk away")
    assert found["message"] == "trying again data_type=trades in_s=0.2 error=disk away"
    assert str(found["at"]).endswith("Z")


@pytest.mark.parametrize(
    ("message", "args"), [("%s failed", ("it",)), ("plain", ()), ("a=%s%%", (1,)), ("a=%s and %s", (1, 2))]
)
def test_any_other_line_is_its_message(message: str, args: tuple[object, ...]) -> None:
    found = line(message, *args)
    assert found["message"] == message % args
    assert set(found) == {"at", "level", "logger", "event", "message"}


def test_an_error_brings_its_traceback() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        record = logging.LogRecord("k2", logging.ERROR, "", 0, "broke", (), sys.exc_info())
    assert "ValueError: odd" in json.loads(_Json().format(record))["traceback"]


def test_lines_are_counted_by_level() -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        set_up("INFO")
        first, metrics = Metrics(), Metrics()
        count_lines(first)
        count_lines(metrics)
        logging.getLogger("k2.write").error("one")
        logging.getLogger("k2.write").warning("two")
        logging.getLogger("elsewhere").warning("not ours")
        assert metrics.value("k2_process_log_lines_total", level="error") == 1
        assert metrics.value("k2_process_log_lines_total", level="warning") == 1
        assert first.value("k2_process_log_lines_total") == 0
    finally:
        added = _output()
        root.handlers[:] = [one for one in before if one is not added]
        root.setLevel(level)


def test_a_process_writes_json_where_it_is_asked_to(tmp_path: pathlib.Path) -> None:
    (tmp_path / "k2.toml").write_text('[run]\nlog_format = "json"\n')
    asked = [sys.executable, "-m", "k2core.cli.main", "write", "--once"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    lines = [json.loads(text) for text in done.stderr.splitlines()]
    assert done.returncode == 0, done.stderr
    (told,) = [one for one in lines if one["event"] == "metrics"]
    assert told["address"].startswith("127.0.0.1:")

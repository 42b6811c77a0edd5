"""Logging: one line a batch at most on stderr, as words and `key=value` or as JSON; never a line a record."""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any

import msgspec

from k2core.telemetry.metrics import Metrics

LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "error"}
_PAIR = re.compile(r"(?:^|\s)([a-z][a-z0-9_]*)=%")
_KEY = re.compile(r"(?<!\S)[a-z][a-z0-9_]*=")


class _Text(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")


class _Json(logging.Formatter):
    """An object a line: time, level, logger, event (the words before the first key), and every `key=value`."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        found: dict[str, Any] = {
            "at": f"{at}.{record.msecs:03.0f}Z", "level": record.levelname.lower(), "logger": record.name,
            "event": _event(str(record.msg)), "message": record.getMessage(), **_fields(record),
        }  # fmt: skip
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(found, enc_hook=str).decode()


def _event(template: str) -> str:
    """The words of a line that are the same each time."""
    first = _KEY.search(template)
    return (template[: first.start()] if first else template).strip().rstrip(":")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The values of a line whose template is all `key=%…` behind its first words; else its message must do."""
    template, args = str(record.msg), record.args
    keys = _PAIR.findall(template)
    if not isinstance(args, tuple) or len(keys) != len(args) or template.count("%") != len(keys):
        return {}
    plain = (str, int, float, bool, type(None))
    return {key: value if isinstance(value, plain) else str(value) for key, value in zip(keys, args, strict=True)}


class _Counting(logging.Filter):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno in LEVELS and record.name.partition(".")[0] == "k2":
            self._metrics.add("k2_process_log_lines_total", level=LEVELS[record.levelno])
        return True


class _Stderr(logging.Handler):
    """Writes to what stderr is by then: a stream that was kept may have been closed since."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not stop what it tells of
            self.handleError(record)


def _output() -> logging.Handler | None:
    ours = (h for h in logging.getLogger().handlers if isinstance(h.formatter, _Text | _Json))
    return next(ours, None)


def set_up(level: str = "INFO", form: str = "text") -> None:
    """Send k2's log lines to stderr, once; the libraries' own only from WARNING on.

    Args:
        level: Of k2's own lines.
        form: `text` or `json`.
    """
    root, out = logging.getLogger(), _output()
    if out is None:
        out = _Stderr()
        root.addHandler(out)
    out.setFormatter(_Json() if form == "json" else _Text())
    root.setLevel(logging.WARNING)
    logging.getLogger("k2").setLevel(level.upper())


def count_lines(metrics: Metrics) -> None:
    """Count k2's log lines from now on, in these metrics alone."""
    if (out := _output()) is not None:
        for old in [one for one in out.filters if isinstance(one, _Counting)]:
            out.removeFilter(old)
        out.addFilter(_Counting(metrics))

"""Logging: one line an event on stderr, `level logger message key=value`; never a line a record."""

from __future__ import annotations

import logging
import sys
import time


class _Format(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")


def set_up(level: str = "INFO") -> None:
    """Send k2's log lines to stderr, once; the libraries' own only from WARNING on."""
    root = logging.getLogger()
    if not any(isinstance(h.formatter, _Format) for h in root.handlers):
        out = logging.StreamHandler(sys.stderr)
        out.setFormatter(_Format())
        root.addHandler(out)
    root.setLevel(logging.WARNING)
    logging.getLogger("k2").setLevel(level.upper())

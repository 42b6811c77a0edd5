"""Recorded frames as a tape. A line is `<receive time, Unix ns> <combined frame>`, the file gzipped.

Frames are played as they were sent, their times included. Lines that are no combined frame (REST snapshots) are left
out; streams that nobody subscribes to (depth) are in the tape and never sent.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from k2_plugin_binance.tape import Event
from k2core.plugin import ConfigError

_LINE = re.compile(rb'([0-9]+) \{"stream":"([^"]+)","data":(.*)\}\s*')


def recorded(path: Path, *, rate: float) -> list[Event]:
    """The tape of a recording, or of all `*.gz` in a folder, merged by receive time.

    Args:
        path: File or folder.
        rate: Frames a second; 0: all at the start, as fast as they are taken.

    Raises:
        ConfigError: There is no recording.
    """
    files = sorted(path.glob("*.gz")) if path.is_dir() else [path]
    lines: list[tuple[int, str, bytes]] = []
    for file in files:
        lines.extend(_lines(file))
    if not lines:
        raise ConfigError(f"{path} holds no recorded frames: give a .gz file of '<ns> <combined frame>' lines")
    lines.sort(key=lambda line: line[0])
    pause = 1 / rate if rate else 0
    return [Event(n * pause, stream, payload, timed=False) for n, (_, stream, payload) in enumerate(lines)]


def _lines(file: Path) -> list[tuple[int, str, bytes]]:
    try:
        with gzip.open(file, "rb") as text:
            found = [match.groups() for line in text if (match := _LINE.fullmatch(line))]
    except (OSError, EOFError) as error:
        raise ConfigError(f"{file} cannot be read as a gzipped recording: {error}") from error
    return [(int(received), stream.decode(), payload) for received, stream, payload in found]


def symbols_of(tape: list[Event]) -> list[str]:
    """Symbols whose trades or quotes a tape holds."""
    names = (event.stream.split("@", 1) for event in tape)
    return sorted({symbol.upper() for symbol, channel in names if channel in ("trade", "bookTicker")})


def with_malformed(tape: list[Event], count: int) -> list[Event]:
    """The tape with `count` broken frames, evenly spread: each the frame before it, to be broken off."""
    played = [place for place, event in enumerate(tape) if event.stream.endswith(("@trade", "@bookTicker"))]
    after = {played[len(played) * (n + 1) // (count + 1)] for n in range(count)} if played else set()
    whole: list[Event] = []
    for place, event in enumerate(tape):
        whole.append(event)
        if place in after:
            whole.append(event._replace(sound=False))
    return whole

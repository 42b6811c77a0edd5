"""Which files to compact together: those of one date and bucket whose rows were appended in one closed window.

Windows grow: a slice (15 minutes), an hour, a day; a file belongs to the largest closed window around it. So a day of
capture is rewritten three times at most and ends as one file a bucket (or several, where it has more rows than one
file may hold). A window counts as closed once it is over, and once nothing was committed into it for a while: a writer
that catches up with an old log must not have its files rewritten under its feet again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from k2_plugin_iceberg.maintain.inventory import LiveFile

if TYPE_CHECKING:
    from k2_plugin_iceberg.settings import IcebergSettings

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LOPSIDED = 10


@dataclass(frozen=True, slots=True)
class Job:
    """Files that become one."""

    date: int
    bucket: int
    files: tuple[LiveFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all of them."""
        return sum(f.rows for f in self.files)


def jobs(files: Iterable[LiveFile], settings: IcebergSettings, now_us: int, young: frozenset[int]) -> list[Job]:
    """What to compact now.

    Args:
        files: The data files of the newest snapshot.
        settings: Length of a slice, quiet time, rows a file.
        now_us: The time, Unix µs.
        young: Sequence numbers of commits younger than the quiet time.
    """
    groups: dict[tuple[int, int, int, int], list[LiveFile]] = defaultdict(list)
    for file in files:
        window = _window(file, settings, now_us)
        if window is not None:
            groups[file.date, file.bucket, *window].append(file)
    return [
        Job(date, bucket, chosen)
        for (date, bucket, _, _), group in sorted(groups.items())
        if not any(f.sequence in young for f in group)
        for chosen in _packed(group, settings.compact_rows)
    ]


def _window(file: LiveFile, settings: IcebergSettings, now_us: int) -> tuple[int, int] | None:
    """The largest closed window around a file's last row: (length, number)."""
    if file.last_us is None:
        return None
    settle_us = int(settings.slice_settle_s * 1_000_000)
    for length in (DAY_US, HOUR_US, settings.slice_minutes * 60_000_000):
        number = file.last_us // length
        if (number + 1) * length + settle_us <= now_us:
            return length, number
    return None


def _packed(group: list[LiveFile], limit: int) -> Iterator[tuple[LiveFile, ...]]:
    """Files in the order of their append times, cut where a compacted file would grow too long."""
    small = sorted((f for f in group if f.rows <= limit // 2), key=lambda f: (f.first_us or 0, f.path))
    chosen: list[LiveFile] = []
    for file in small:
        if chosen and sum(f.rows for f in chosen) + file.rows > limit:
            yield from _worthwhile(chosen)
            chosen = []
        chosen.append(file)
    yield from _worthwhile(chosen)


def _worthwhile(chosen: list[LiveFile]) -> Iterator[tuple[LiveFile, ...]]:
    """A few late rows do not make a file that was compacted already worth rewriting."""
    largest = max(chosen, key=lambda f: f.rows, default=None)
    if largest is not None and len(chosen) < LOPSIDED:
        rest = [f for f in chosen if f is not largest]
        if largest.rows > LOPSIDED * sum(f.rows for f in rest):
            chosen = rest
    if len(chosen) >= 2:
        yield tuple(chosen)

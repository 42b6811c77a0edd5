"""`Schedule`: when a commit is due."""

from __future__ import annotations

from k2core.config.settings import WriterSettings

NEVER = float("-inf")


class Schedule:
    """Commits of one pipeline, on the monotonic clock."""

    def __init__(self, settings: WriterSettings) -> None:
        self._settings = settings
        self._started = self._last = NEVER

    def started(self, now: float) -> None:
        """The pipeline started."""
        self._started = now

    def commits(self, now: float) -> None:
        """A commit starts."""
        self._last = now

    def due(self, now: float, records: int, held: int | None = None) -> bool:
        """Whether a commit is due while so many records wait, of which a commit has work with `held` (None: all)."""
        settings = self._settings
        if not records:
            return False
        records = records if held is None else held
        if records >= settings.commit_rows:
            return True
        if self._last < self._started:
            return now - self._started >= min(settings.first_commit_s, settings.commit_interval_s)
        passed = now - self._last
        enough = records >= settings.min_commit_rows and passed >= settings.min_commit_interval_s
        return enough or passed >= settings.commit_interval_s

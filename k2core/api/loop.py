"""`TailLoop`: the thread that advances one tail, tries again what may pass, and stops at what cannot."""

from __future__ import annotations

import logging
import threading

from k2core.clock import Clock
from k2core.errors import Permanent
from k2core.query.tail import Tail

log = logging.getLogger("k2.serve")

POLL_S = 0.5
BACK_OFF_S = (0.1, 5.0)


class TailLoop:
    """Runs until it is stopped, or a permanent error ends it.

    Args:
        tail: What is advanced.
        clock: The time.
        failed: Set when a permanent error ended the loop.
    """

    def __init__(self, tail: Tail, clock: Clock, failed: threading.Event) -> None:
        self._tail, self._clock, self._failed = tail, clock, failed
        self._stop = threading.Event()
        self._beat = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"tail-{tail.parts.data_type.name}", daemon=True)
        self.error: Exception | None = None
        self.fatal: Exception | None = None
        self.caught_up = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End; False where it did not within `timeout` seconds."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def trouble(self, wedged_s: float) -> str | None:
        """What is wrong, None where nothing is."""
        if self.fatal is not None:
            return f"stopped by {self.fatal}"
        silent = self._clock.monotonic() - self._beat
        if silent > wedged_s:
            return f"stalled: nothing was read for {silent:.0f} s" + (f" after {self.error}" if self.error else "")
        return None if self.caught_up.is_set() else "catching up with the log"

    def _run(self) -> None:
        pause = BACK_OFF_S[0]
        while not self._stop.is_set():
            try:
                read = self._tail.advance(POLL_S if self.caught_up.is_set() else 0.01)
            except Exception as error:  # noqa: BLE001  whatever a broker or a table raises must not end serving unseen
                if isinstance(error, Permanent):
                    self._end(error)
                    return
                self.error = error
                self._tail.stalled()
                log.warning("tail stalled data_type=%s error=%s", self._tail.parts.data_type.name, error)
                self._stop.wait(pause)
                pause = min(2 * pause, BACK_OFF_S[1])
                continue
            self._beat, self.error, pause = self._clock.monotonic(), None, BACK_OFF_S[0]
            if not read or self._tail.lag == 0:
                self.caught_up.set()

    def _end(self, error: Exception) -> None:
        self.fatal = error
        log.error("tail ended data_type=%s error=%s", self._tail.parts.data_type.name, error)
        self._failed.set()
